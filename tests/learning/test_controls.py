import numpy as np
import pytest

from stm_core.data import load_dataset
from stm_core.learning import StudySettings, fit_to_shuffled, predict, samples_of, study_parts

SETTINGS = StudySettings(image_size=16, epochs=2)


@pytest.fixture(scope="module")
def ds(small_dataset_path):
    return load_dataset(small_dataset_path)


@pytest.fixture(scope="module")
def samples(ds):
    return samples_of(ds, ["repaired"], SETTINGS, test=False)["repaired"]


def test_no_test_sample_is_made_to_fit(ds, samples):
    masks = SETTINGS.split(ds.U.values)
    assert not masks.test[samples.sample].any()
    assert set(samples.sample) == set(np.flatnonzero(~masks.test))
    np.testing.assert_array_equal(samples.U, ds.U.values[samples.sample])


def test_more_passes_learn_shuffled_labels_by_heart_and_a_few_do_not(ds, samples, tmp_path):
    some = samples.subset(np.isin(samples.U, (0, 2, 3, 5)))  # few enough for a small network
    few, many = (fit_to_shuffled(ds, "repaired", SETTINGS, some, tmp_path, epochs) for epochs in (1, 150))
    assert many.mae < few.mae
    assert many.mae < 0.7 * many.constant
    assert few.constant == many.constant > 0
    known = some.subset(study_parts(ds, some, SETTINGS).known)
    assert np.abs(predict(many.result, known.inputs).U - known.U).mean() > many.mae


def test_the_same_call_shuffles_alike(ds, tmp_path):
    stars = samples_of(ds, ["bragg_process"], SETTINGS, test=False)["bragg_process"]
    fitted, again = (
        fit_to_shuffled(ds, "bragg_process", SETTINGS, stars, tmp_path / name, 1) for name in ("one", "two")
    )
    assert fitted.mae == again.mae and fitted.constant > 0
