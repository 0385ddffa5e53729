"""Reading the original study's LDOS tables, and refusing what is not one."""

import numpy as np
import pytest

from stm_core.data.stm_files import read_ldos_files

ROWS = np.array([[0.0, 0.0, 0.1], [0.5, 0.2886751, 0.2], [1.0, -0.25, 3e-4]])


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def plain(rows=ROWS, separator=" "):
    return "\n".join(separator.join(f"{value:.10g}" for value in row) for row in rows) + "\n"


@pytest.mark.parametrize(
    ("name", "U"),
    [
        ("LDOS-Mu-I9-nu0-U2.35-k3.dat", 2.35),
        ("ldos_U2.35.dat", 2.35),
        ("U=0.5_nu0.txt", 0.5),
        ("run_U_4.00_seed1.csv", 4.0),
        ("U3.dat", 3.0),
        ("LDOS-U5eV.dat", 5.0),
        ("ldos_U2.35", 2.35),
    ],
)
def test_interaction_is_read_from_the_name(tmp_path, name, U):
    assert read_ldos_files(write(tmp_path, name, plain()))[0].U == U


@pytest.mark.parametrize(
    "text",
    [
        plain(),
        plain(separator=","),
        plain(separator="\t"),
        "x y ldos\n" + plain(),
        "# x y ldos\n" + plain(),
        "# written by hand\n\n" + plain(),
        "X,Y,LDOS\n" + plain(separator=", "),
        "ldos index y x\n" + plain([[row[2], 9, row[1], row[0]] for row in ROWS]),
        "\ufeffx y ldos\n" + plain(),
    ],
)
def test_layouts_give_the_same_table(tmp_path, text):
    (table,) = read_ldos_files(write(tmp_path, "ldos_U1.0.dat", text))
    np.testing.assert_allclose(table.xy, ROWS[:, :2])
    np.testing.assert_allclose(table.ldos, ROWS[:, 2])


def test_folder_is_read_in_the_order_of_its_names(tmp_path):
    for U in (2.0, 0.5, 1.0):
        write(tmp_path, f"ldos_U{U}.dat", plain(ROWS * U))
    write(tmp_path, "README.md", "not a table")
    tables = read_ldos_files(tmp_path)
    assert [table.U for table in tables] == [0.5, 1.0, 2.0]
    assert tables[2].path == tmp_path / "ldos_U2.0.dat"
    np.testing.assert_allclose(tables[2].ldos, 2 * ROWS[:, 2])
    listed = read_ldos_files([tables[1].path, str(tables[0].path)])
    assert [table.U for table in listed] == [1.0, 0.5]


def test_angstrom_is_converted_to_lattice_constants(tmp_path):
    path = write(tmp_path, "ldos_U1.0.dat", plain(ROWS * [2.46, 2.46, 1.0]))
    (table,) = read_ldos_files(path, unit="angstrom")
    np.testing.assert_allclose(table.xy, ROWS[:, :2], rtol=1e-9)


def test_unlabelled_file_is_accepted_when_asked(tmp_path):
    path = write(tmp_path, "scan_17.dat", plain())
    assert np.isnan(read_ldos_files(path, labelled=False)[0].U)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ldos_U1.0.dat", "x y\n0 0\n", "no column 'ldos'"),
        ("ldos_U1.0.dat", "x ldos\n0 0\n", "no column 'y'"),
        ("ldos_U1.0.dat", "0 0\n1 1\n", "2 columns and no header"),
        ("ldos_U1.0.dat", "0 0 0 1\n", "4 columns and no header"),
        ("ldos_U1.0.dat", "0 0 nan\n", "data line 1, holds NaN"),
        ("ldos_U1.0.dat", "0 0 1\n0 inf 1\n", "data line 2, holds NaN or infinity"),
        ("ldos_U1.0.dat", "0 0 1\n0 1\n", "data line 2, has 2 values"),
        ("ldos_U1.0.dat", "0 0 1\n0 1 high\n", "only numbers"),
        ("ldos_U1.0.dat", "a b c\n0 1 2\n", "only numbers"),
        ("ldos_U1.0.dat", "", "is empty"),
        ("ldos_U1.0.dat", "# x y ldos\n\n", "is empty"),
        ("ldos.dat", plain(), "no U in its name"),
        ("ldos_U2p35.dat", plain(), "no U in its name"),
        ("nu2.dat", plain(), "no U in its name"),
        ("U1.0_U2.0.dat", plain(), "more than one U"),
        ("ldos_U=-1.5.dat", plain(), "U = -1.5 eV .* zero or positive"),
    ],
)
def test_bad_table_is_named_in_one_sentence(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_ldos_files(write(tmp_path, name, text))
    sentence = str(caught.value)
    assert name in sentence and sentence.endswith(".") and "\n" not in sentence


def test_missing_places_and_units_are_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_ldos_files(tmp_path / "absent.dat")
    with pytest.raises(ValueError, match=r"\.dat, \.txt, \.csv"):
        read_ldos_files(tmp_path)
    with pytest.raises(ValueError, match="no LDOS table found"):
        read_ldos_files([])
    with pytest.raises(ValueError, match="accepted are 'a' "):
        read_ldos_files(write(tmp_path, "ldos_U1.0.dat", plain()), unit="nm")
