import numpy as np
import pytest

from stm_core.data import load_dataset
from stm_core.learning import StudySettings, fit_to_shuffled, predict, samples_to_fit, study_parts

SETTINGS = StudySettings(image_size=16, epochs=2)


@pytest.fixture(scope="module")
def ds(small_dataset_path):
    return load_dataset(small_dataset_path)


@pytest.fixture(scope="module")
def samples(ds):
    return samples_to_fit(ds, "repaired", SETTINGS)


def test_no_test_sample_is_made_to_fit(ds, samples):
    masks = SETTINGS.split(ds.U.values)
    assert not masks.test[samples.sample].any()
    assert set(samples.sample) == set(np.flatnonzero(~masks.test))
    np.testing.assert_array_equal(samples.U, ds.U.values[samples.sample])


def test_more_passes_learn_shuffled_labels_by_heart_and_a_few_do_not(ds, samples, tmp_path):
    few, many = (fit_to_shuffled(ds, "repaired", SETTINGS, samples, tmp_path, epochs) for epochs in (1, 150))
    assert many.mae < few.mae
    assert many.mae < 0.7 * many.constant
    assert few.constant == many.constant > 0


def test_the_labels_are_shuffled_and_the_biases_of_a_state_share_theirs(ds, samples, tmp_path):
    stars = samples_to_fit(ds, "bragg_process", SETTINGS)
    fitted, again = (fit_to_shuffled(ds, "bragg_process", SETTINGS, stars, tmp_path, 1) for _ in range(2))
    known = stars.subset(study_parts(ds, stars, SETTINGS).train)
    assert fitted.mae == again.mae
    assert np.abs(predict(fitted.result, known.inputs).U - known.U).mean() > fitted.mae
