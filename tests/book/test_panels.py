"""The panels that a page runs by itself, used as a reader would: slider, keyboard, files good and bad."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

READING = re.compile(r"U = (-?\d+\.\d+) eV")
PATIENCE = 60_000  # milliseconds for the transform on a busy machine


@pytest.fixture
def panel(html, reader) -> Iterator[Page]:
    page = reader.open(html / "notebooks" / "12_try.html")
    said(page, "network", "interval")
    yield page
    assert reader.complaints == []
    assert reader.requests == []


def said(page: Page, reader: str, *words: str) -> str:
    """What the panel's curves or network say once it is all of ``words``; refusals stand with the curves."""
    status = page.locator("[data-stm=try] .stm-reading").nth(("curves", "network").index(reader))
    for word in words:
        expect(status).to_contain_text(word, timeout=PATIENCE)
    return status.inner_text()


def pixels(page: Page, n: int, kind: str = "try") -> str:
    return page.locator(f"[data-stm={kind}] canvas").nth(n).evaluate("canvas => canvas.toDataURL()")


def test_the_slider_shows_another_state(panel):
    before = [pixels(panel, n) for n in range(4)]
    first = {reader: said(panel, reader, "This state", "interval") for reader in ("curves", "network")}
    panel.locator("#stm-state").focus()
    panel.keyboard.press("End")
    said(panel, "network", "waits")
    second = {reader: said(panel, reader, "This state", "interval") for reader in ("curves", "network")}
    assert first != second
    assert all(pixels(panel, n) != seen for n, seen in enumerate(before))


def test_a_saved_state_reads_the_same_when_it_is_dropped(panel, tmp_path):
    panel.locator("#stm-state").focus()
    panel.keyboard.press("ArrowRight")
    said(panel, "network", "waits")
    own = [READING.search(said(panel, reader, "interval"))[1] for reader in ("curves", "network")]
    with panel.expect_download() as download:
        panel.get_by_role("button", name="Save this state").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    panel.locator("#stm-file").set_input_files(saved)
    again = [
        READING.search(said(panel, reader, saved.name, "interval"))[1] for reader in ("curves", "network")
    ]
    assert again == own


def test_a_file_can_be_dropped_with_the_mouse(panel):
    dropped = panel.evaluate_handle(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["x y ldos\\n0 0 1\\n1 0 1\\n0 1 2\\n"], "three.txt"));
          return data;
        }"""
    )
    panel.locator(".stm-drop").dispatch_event("drop", {"dataTransfer": dropped})
    assert "do not believe" in said(panel, "curves", "three.txt", "interval")
    said(panel, "network", "three.txt", "interval")


@pytest.mark.parametrize("ending", ["npy", "png"])
def test_a_picture_is_read_by_the_network_alone(panel, tmp_path, ending):
    picture = np.random.default_rng(0).random((80, 80))
    path = tmp_path / f"picture.{ending}"
    if ending == "npy":
        np.save(path, picture)
    else:
        Image.fromarray((255 * picture).astype(np.uint8)).save(path)
    panel.locator("#stm-file").set_input_files(path)
    said(panel, "network", path.name, "interval")
    said(panel, "curves", "tables only")


BAD = {
    "words.txt": (b"once upon a time", "has 4 columns and no header"),
    "two.csv": (b"x,y\n1,2\n", "has no column ldos"),
    "gap.txt": (b"x y ldos\n0 0 1\n1 0\n", "data line 2, has 2 values, not 3"),
    "nan.txt": (b"0 0 1\n1 0 nan\n", "only finite numbers are read"),
    "empty.txt": (b"", "is empty"),
    "dark.txt": (b"0 0 0\n1 1 0\n", "holds zeros only"),
    "noise.npy": (b"\x93NUMPY\x01\x00", "is no .npy array"),
    "photo.png": (b"not a picture", "is no picture that can be read"),
    "notes.docx": (b"", "is not read here; accepted are .txt"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_clear_sentence(panel, tmp_path, name):
    content, reason = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    panel.locator("#stm-file").set_input_files(path)
    sentence = said(panel, "curves", name, reason)
    assert sentence.startswith(name) and sentence.endswith(".")
    assert "stm-refused" in panel.locator("[data-stm=try] .stm-reading").first.get_attribute("class")


def test_a_small_or_oblong_picture_is_refused(panel, tmp_path):
    for shape, reason in (((8, 8), "the network needs at least"), ((80, 40), "a square picture")):
        path = tmp_path / f"{shape[0]}.npy"
        np.save(path, np.ones(shape))
        panel.locator("#stm-file").set_input_files(path)
        said(panel, "curves", path.name, reason)


def test_the_game_is_played_by_keyboard(html, reader):
    page = reader.open(html / "book" / "intro.html")
    game = page.locator("[data-stm=guess]")
    status, button = game.locator(".stm-reading"), game.get_by_role("button")
    rounds = int(re.search(r"of (\d+)", status.inner_text())[1])
    for n in range(rounds):
        assert f"Picture {n + 1} of {rounds}" in status.inner_text()
        game.locator("input").press("Home")
        button.press("Enter")
        truth, you, network, mine, its = map(float, re.findall(r"(-?\d+\.\d+) eV", status.inner_text()))
        assert you == 0
        if n == 0:
            assert mine == pytest.approx(truth, abs=0.011)
            assert its == pytest.approx(abs(network - truth), abs=0.011)
        expect(button).to_have_text("Next picture" if n < rounds - 1 else "Play again")
        button.press("Enter")
    assert f"Picture 1 of {rounds}" in status.inner_text()
    assert reader.complaints == []


def test_the_cover_moves_until_it_is_held(html, reader):
    page = reader.open(html / "book" / "intro.html")
    road = page.locator("[data-stm=road]")
    first = road.locator("output").inner_text()
    expect(road.locator("output")).not_to_have_text(first)
    road.get_by_role("button", name="Pause").click()
    held = road.locator("output").inner_text()
    page.wait_for_timeout(2000)
    assert road.locator("output").inner_text() == held
    before = pixels(page, 0, "road")
    road.locator("input").press("End")
    assert pixels(page, 0, "road") != before


def test_the_cover_stands_still_for_those_who_ask_for_it(html, reader):
    reader.page.emulate_media(reduced_motion="reduce")
    page = reader.open(html / "book" / "intro.html")
    output = page.locator("[data-stm=road] output")
    first = output.inner_text()
    page.wait_for_timeout(2000)
    assert output.inner_text() == first


def test_files_are_read_as_the_command_line_reads_them(tmp_path: Path):
    from stm_core.data import read_ldos_files
    from tests.book.in_node import in_node

    texts = {
        "plain.txt": "0 0 1\n1 0.5 2e-3\n",
        "named.csv": "# made by hand\nldos, atom, Y, X\n1, 7, 0.5, 3\n",
        "units.dat": "# x y ldos\n2.46 0 1\n0 1.23 3\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        unit = "angstrom" if name == "units.dat" else "a"
        expected = read_ldos_files(tmp_path / name, unit=unit, labelled=False)[0]
        given = {"name": name, "text": text, "unit": unit}
        found = in_node(
            "return stm.readTable(given.name, given.text, given.unit)", given, ("arrays", "files")
        )
        np.testing.assert_allclose(np.stack([found["x"], found["y"]], axis=1), expected.xy)
        np.testing.assert_allclose(found["ldos"], expected.ldos)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "<i4"])
def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path, dtype):
    from tests.book.in_node import in_node

    array = (100 * np.random.default_rng(0).random((5, 5))).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    body = "return stm.readArray('a.npy', Uint8Array.from(given.bytes).buffer)"
    found = in_node(body, {"bytes": list((tmp_path / "a.npy").read_bytes())}, ("arrays", "files"))
    np.testing.assert_array_equal(np.reshape(found["data"], found["shape"]), array)


def test_colours_become_the_grey_that_pil_makes():
    from tests.book.in_node import in_node

    colours = np.random.default_rng(1).integers(0, 256, (6, 6, 4), dtype=np.uint8)
    body = "return stm.readGrey('p.png', { width: 6, height: 6, data: given.data })"
    found = in_node(body, {"data": colours.ravel().tolist()}, ("arrays", "files"))
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(colours[..., :3])).convert("L")) / 255
    np.testing.assert_allclose(np.reshape(found["data"], (6, 6)), expected)
