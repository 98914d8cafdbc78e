"""The page as people use it, served by a service and as one file without any network."""

import base64

import cv2
import numpy as np
import page_vectors
import pytest
from page_service import Service
from waiting import until, wait_until_read


def sheet_corner(page):
    box = page.locator("#sheet").bounding_box()
    return box["x"], box["y"], box["width"] / 740


def draw(page, strokes, left=220, top=90, scale=3.0, waits=True):
    """Draw with the mouse, and wait until it is read; the strokes are in a box of 100 by 140."""
    x0, y0, unit = sheet_corner(page)
    for path in strokes:
        points = [(x0 + (left + x * scale) * unit, y0 + (top + y * scale) * unit) for x, y in path]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()
    if waits:
        wait_until_read(page)


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def record(page, element):
    """From now on keep in `told` each text that an element is given."""
    page.evaluate(f"""() => {{
      const element = document.getElementById("{element}");
      globalThis.told = [];
      new MutationObserver(() => told.push(element.textContent)).observe(element, {{ childList: true }});
    }}""")


def number(page):
    """What the page shows; "" for nothing."""
    shown = page.locator("#number").text_content()
    return "" if shown == "Draw a digit" else shown


def strokes_on(page):
    """How many strokes the history would keep: read from the link that the page makes."""
    page.click("#link")
    until(page, "location.hash.length > 3 || document.getElementById('message').textContent")
    return page.evaluate("location.hash")


def test_digits_drawn_with_the_mouse_are_read(page, pen_digits):
    for label in range(10):
        draw(page, pen_digits[label])
        assert number(page) == str(label)
        assert page.title() == f"{label} - MNIST Lightning"
        assert page.locator("#bars .best .name").text_content() == str(label)
        assert page.locator("#verdict").text_content().endswith(" % sure")
        page.keyboard.press("c")


@pytest.mark.parametrize("quantize", ["null", "int8"])
def test_onnx_runtime_reads_the_digits_too(tmp_path, command, open_page, pen_digits, quantize):
    path = tmp_path / "mnist.html"
    asked = ["ckpt=pretrained", "data=digits", "format=web", "engine=onnxruntime-web", f"quantize={quantize}",
             f"output={path}"]  # fmt: skip
    done = command(tmp_path, "export", *asked)
    if "npm" in done.stderr:  # it is missing, or cannot fetch the runtime
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    page = open_page(path.as_uri(), offline=True)
    for label in range(10):
        draw(page, pen_digits[label])
        assert number(page) == str(label)
        page.keyboard.press("c")


def test_a_digit_drawn_with_a_finger_is_read(one_file, open_page, pen_digits):
    page = open_page(one_file.as_uri(), offline=True, has_touch=True, is_mobile=True,
                     viewport={"width": 390, "height": 844})  # fmt: skip
    x0, y0, unit = sheet_corner(page)
    devtools = page.context.new_cdp_session(page)
    for path in pen_digits[5]:
        for at, (x, y) in enumerate(path):
            place = {"x": x0 + (220 + 3 * x) * unit, "y": y0 + (90 + 3 * y) * unit}
            kind = "touchMove" if at else "touchStart"
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
        devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_until_read(page)
    assert number(page) == "5"
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_keyboard_alone_draws_and_reads_a_digit(page):
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "sheet":
            break
    keys = ["ArrowLeft"] * 4 + ["ArrowUp"] * 7 + ["Space"] + ["ArrowRight"] * 9
    keys += ["End", "ArrowDown"] * 7 + ["Space"]
    for key in keys:
        page.keyboard.press(key)
    wait_until_read(page)
    assert number(page) == "7"
    until(page, "document.getElementById('spoken').textContent.startsWith('Reads 7.')")


def test_several_digits_are_a_number_with_a_picture_for_each(page, pen_digits):
    for place, label in enumerate((4, 2, 9)):
        draw(page, pen_digits[label], left=60 + 200 * place, scale=1.5)
    assert number(page) == "429"
    buttons = page.locator("#thumbs button")
    assert [buttons.nth(at).get_attribute("aria-pressed") for at in range(3)] == ["false", "false", "true"]
    buttons.nth(0).click()
    assert page.locator("#bars .best .name").text_content() == "4"


def test_undo_redo_clear_and_eraser_work_by_button_and_by_key(page, pen_digits):
    draw(page, pen_digits[7])
    whole = strokes_on(page)
    page.click("#undo")
    wait_until_read(page)
    assert number(page) == ""
    assert page.locator("#undo").is_disabled()
    page.keyboard.press("r")
    wait_until_read(page)
    assert number(page) == "7"
    assert strokes_on(page) == whole
    page.keyboard.press("e")
    assert page.locator("#eraser").get_attribute("aria-pressed") == "true"
    draw(page, [[[70, 20], [60, 90], [40, 138]]])
    assert strokes_on(page) != whole
    page.keyboard.press("u")
    wait_until_read(page)
    assert strokes_on(page) == whole
    page.keyboard.press("c")
    wait_until_read(page)
    assert number(page) == ""
    assert page.locator("#clear").is_disabled()


def test_the_right_button_erases(page, pen_digits):
    draw(page, pen_digits[1])
    x0, y0, _ = sheet_corner(page)
    page.mouse.move(x0 + 400, y0 + 80)
    page.mouse.down(button="right")
    for x, y in pen_digits[1][0]:
        page.mouse.move(x0 + 220 + 3 * x, y0 + 90 + 3 * y)
    page.mouse.up(button="right")
    wait_until_read(page)
    assert number(page) == ""
    page.keyboard.press("u")
    wait_until_read(page)
    assert number(page) == "1"


def test_a_pen_that_was_lifted_unseen_draws_no_further(page, pen_digits):
    draw(page, pen_digits[1])
    drawn = strokes_on(page)
    x0, y0, _ = sheet_corner(page)
    page.mouse.move(x0 + 30, y0 + 30)
    page.mouse.down()
    page.evaluate("document.getElementById('sheet').releasePointerCapture(1)")  # as a dialog does
    page.mouse.move(x0 - 9, y0 - 9)
    page.mouse.up()
    page.mouse.move(x0 + 600, y0 + 500)
    page.click("#undo")
    assert strokes_on(page) == drawn
    draw(page, pen_digits[0], left=420)
    assert number(page) == "10"


def test_the_pen_has_the_width_that_was_asked_for(page):
    for key, width in (("]", "25"), ("[", "20"), ("[", "16")):
        page.keyboard.press(key)
        assert page.locator("#pen").input_value() == width
    page.locator("#pen").fill("60")
    page.keyboard.press("]")
    assert page.locator("#pen-value").text_content() == "60"


@pytest.mark.parametrize("name", ["dark on light", "photograph", "several"])
def test_a_picture_is_read(page, reader, name):
    image = page_vectors.pictures()[name]
    data = cv2.imencode(".png", image)[1].tobytes()
    page.set_input_files("#picture", {"name": "mine.png", "mimeType": "image/png", "buffer": data})
    until(page, "document.getElementById('message').textContent.startsWith('Reading mine.png')")
    wait_until_read(page)
    assert number(page) == reader.read_picture(image).text != ""


def test_boxes_lie_round_the_digits_of_a_picture_that_the_page_shrinks(page, reader, pen_digits):
    image = np.full((2400, 3200), 255, np.uint8)
    for label, left in ((3, 2000), (7, 2500)):
        for path in pen_digits[label]:
            line = np.array(path) * 3 + [left, 1700]
            cv2.polylines(image, [line.astype(np.int32)[:, None]], False, 0, 9, cv2.LINE_AA)
    page.set_input_files("#picture", {"name": "large.png", "mimeType": "image/png", "buffer": png(image)})
    until(page, "document.getElementById('message').textContent.startsWith('Reading large.png')")
    wait_until_read(page)
    reading = reader.read_picture(image)
    assert number(page) == reading.text == "37"
    left, top, right, bottom = page.evaluate("""() => {
      const canvas = document.getElementById("marks");
      const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const [x, y] = [[], []];
      for (let at = 0; at < width * height; at++) {
        if (data[4 * at + 3]) {
          x.push(at % width);
          y.push(Math.floor(at / width));
        }
      }
      const least = (values) => values.reduce((a, b) => Math.min(a, b));
      const most = (values) => values.reduce((a, b) => Math.max(a, b));
      return [least(x), least(y), most(x), most(y)].map((value) => (value / width) * 740);
    }""")
    scale = min(740 / 3200, 616 / 2400)
    boxes = np.array([digit.box for digit in reading.digits]) * scale + [0, (616 - 2400 * scale) / 2] * 2
    wanted = [*boxes[:, :2].min(0) - 4, *boxes[:, 2:].max(0) + 4]
    assert [left, right, bottom] == pytest.approx([wanted[0], wanted[2], wanted[3]], abs=4)
    assert wanted[1] - 24 < top < wanted[1]  # the digits stand above their boxes


def test_ink_on_nothing_is_read_in_a_large_picture_too(page, reader, pen_digits):
    image = np.zeros((800, 1000, 4), np.uint8)  # black ink; what is transparent is black as well
    for path in pen_digits[3]:
        line = np.array(path) * 3 + [300, 200]
        cv2.polylines(image, [line.astype(np.int32)[:, None]], False, (0, 0, 0, 255), 12, cv2.LINE_AA)
    page.set_input_files("#picture", {"name": "clear.png", "mimeType": "image/png", "buffer": png(image)})
    until(page, "document.getElementById('message').textContent.startsWith('Reading clear.png')")
    wait_until_read(page)
    assert number(page) == reader.read_picture(image).text == "3"


def test_a_dropped_picture_is_read_and_drawing_puts_it_away(page, reader, pen_digits):
    image = page_vectors.pictures()["dark on light"]
    data = base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()
    page.evaluate("""(text) => {
      const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
      document.getElementById("sheet").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
    }""", data)  # fmt: skip
    until(page, "document.getElementById('message').textContent.startsWith('Reading dropped.png')")
    wait_until_read(page)
    assert number(page) == reader.read_picture(image).text
    draw(page, pen_digits[8])
    assert number(page) == "8"


def test_of_two_files_the_one_that_was_opened_last_is_read(page):
    data = cv2.imencode(".png", page_vectors.pictures()["dark on light"])[1].tobytes()
    page.evaluate("""() => {
      const make = createImageBitmap;
      globalThis.decoded = [];
      globalThis.createImageBitmap = (file, how) => new Promise((resolve) => {
        decoded.push(async () => resolve(await make.call(globalThis, file, how)));
      });
    }""")
    for name in ("first.png", "last.png"):
        page.set_input_files("#picture", {"name": name, "mimeType": "image/png", "buffer": data})
    page.evaluate("async () => { await decoded[1](); await decoded[0](); }")
    wait_until_read(page)
    assert page.locator("#message").text_content().startswith("Reading last.png")


def test_undoing_puts_a_picture_away_that_took_the_place_of_strokes(page, pen_digits):
    draw(page, pen_digits[3])
    data = cv2.imencode(".png", page_vectors.pictures()["dark on light"])[1].tobytes()
    page.set_input_files("#picture", {"name": "mine.png", "mimeType": "image/png", "buffer": data})
    until(page, "document.getElementById('message').textContent.startsWith('Reading mine.png')")
    wait_until_read(page)
    page.click("#undo")
    wait_until_read(page)
    assert number(page) == "3"
    page.keyboard.press("h")
    assert not page.locator("#message").text_content().startswith("Only the ink")


def test_a_file_that_is_no_picture_is_refused_in_a_sentence(page):
    page.set_input_files("#picture", {"name": "text.png", "mimeType": "image/png", "buffer": b"no picture"})
    until(page, "document.getElementById('message').textContent.includes('not a picture')")


def test_a_link_brings_the_drawing_back(page, open_page, pen_digits):
    draw(page, pen_digits[6])
    hash_ = strokes_on(page)
    assert hash_.startswith("#d=")
    again = open_page(page.url.partition("#")[0] + hash_)
    assert number(again) == "6"
    assert strokes_on(again) == hash_


@pytest.mark.parametrize("text", ["AAAA", "!!!", "AVABfn5-", "AVCAgICAgICAgA"])
def test_a_link_without_a_drawing_is_refused_in_a_sentence(one_file, open_page, text):
    page = open_page(f"{one_file.as_uri()}#d={text}")
    assert page.locator("#message").text_content() == "The link holds no drawing that can be read."


def test_a_drawing_is_saved_as_png_with_what_it_reads(page, pen_digits):
    draw(page, pen_digits[2])
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename == "digits-2.png"
    picture = cv2.imread(str(download.value.path()))
    assert picture.shape == (1232, 1480, 3)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert (picture < 100).any()


def test_the_last_drawings_come_back_and_can_be_deleted(page, pen_digits):
    for label in (3, 7):
        draw(page, pen_digits[label])
        page.click("#clear")
    assert [text.strip() for text in page.locator("#drawings .open").all_text_contents()] == ["read as 7", "read as 3"]
    page.locator("#drawings .open").nth(1).click()
    wait_until_read(page)
    assert number(page) == "3"
    page.locator("#drawings .delete").nth(0).click()
    assert page.locator("#drawings li").count() == 1
    page.click("#forget")
    assert not page.locator("#history").is_visible()


def test_a_label_is_kept_in_the_browser_where_no_service_may_store_it(page, pen_digits):
    draw(page, pen_digits[9])
    page.keyboard.press("4")
    until(page, "document.getElementById('message').textContent === 'Kept as 4 in this browser.'")
    assert page.locator("#drawings .open").text_content() == "4, read as 9"
    assert number(page) in ("", "9")


def test_a_label_that_the_browser_cannot_keep_is_said_not_to_be_kept(page, pen_digits):
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('full'); }; }")
    draw(page, pen_digits[9])
    page.keyboard.press("9")
    until(page, "document.getElementById('message').textContent.startsWith('Not kept')")
    assert number(page) == "9"


def test_a_label_goes_to_a_service_that_keeps_drawings(reader, open_page, pen_digits):
    service = Service(reader, keeps_drawings=True)
    page = open_page(service.address)
    draw(page, pen_digits[9])
    page.locator("#labels button", has_text="9").click()
    until(page, "document.getElementById('message').textContent === 'Kept as 9 by the service.'")
    (kept,) = service.kept
    service.close()
    assert kept["label"] == 9
    assert len(kept["strokes"][0]) == len(pen_digits[9][0])
    assert kept["widths"] == [20]


def test_what_is_drawn_while_a_label_is_sent_stays_and_the_label_is_sent_once(reader, open_page, pen_digits):
    import threading

    answer = threading.Event()
    service = Service(reader, keeps_drawings=True)
    service.before_keeping = lambda: answer.wait(10)
    page = open_page(service.address)
    draw(page, pen_digits[3])
    page.keyboard.press("3")
    page.keyboard.press("3")
    draw(page, pen_digits[1], left=460)
    answer.set()
    until(page, "document.getElementById('message').textContent.startsWith('Kept as 3')")
    wait_until_read(page)
    (kept,) = service.kept
    assert len(kept["strokes"]) == len(pen_digits[3])
    assert number(page) == "31"
    service.close()


def test_what_reads_as_several_digits_is_kept_as_one_only_when_it_is_said_twice(page, pen_digits):
    draw(page, pen_digits[1], left=150, scale=2)
    draw(page, pen_digits[1], left=450, scale=2)
    page.keyboard.press("4")
    assert page.locator("#message").text_content().startswith("This reads as 2 digits. Choose 4 again")
    page.keyboard.press("4")
    until(page, "document.getElementById('message').textContent.startsWith('Kept as 4')")


def test_samples_are_read(page):
    for name, wanted in (("3", "3"), ("42", "42"), ("2026", "2026")):
        page.locator("#samples button", has_text=name).first.click()
        wait_until_read(page)
        assert number(page) == wanted


def test_the_inside_is_alive_and_says_what_a_unit_looks_at(page, pen_digits):
    draw(page, pen_digits[0])
    page.locator(".inside").scroll_into_view_if_needed()
    page.wait_for_selector("#layers .viewer")
    page.locator("#layers .viewer").first.hover(position={"x": 20, "y": 20})
    told = page.locator("#unit")
    until(page, "document.getElementById('unit').textContent.startsWith('Block 1, map ')")
    assert "It looks at the 3 × 3 pixels in the frame." in told.text_content()
    page.locator("#layers .viewer").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "column" in told.text_content()


def test_a_screen_reader_is_not_told_the_same_of_the_inside_again(page, pen_digits):
    page.set_viewport_size({"width": 1280, "height": 1500})
    draw(page, pen_digits[0], scale=1.5)
    page.wait_for_selector("#layers .viewer")
    record(page, "unit")
    draw(page, pen_digits[0], left=420, scale=1.5)
    page.wait_for_timeout(400)  # a service is asked after a pause
    assert page.evaluate("told") == []


def test_which_pixels_decided_colours_the_ink(page, pen_digits):
    draw(page, pen_digits[8])
    colours = "() => { const c = document.getElementById('ink'); const d = c.getContext('2d')" \
              ".getImageData(0, 0, c.width, c.height).data; let n = 0;" \
              "for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && Math.abs(d[i] - d[i + 2]) > 60) n++;" \
              "return n; }"  # fmt: skip
    assert page.evaluate(colours) == 0
    record(page, "message")
    page.keyboard.press("h")
    assert page.locator("#deciding-key").is_visible()
    until(page, f"({colours})() > 500")
    until(page, "told.length === 2")
    assert page.evaluate("told") == ["Working out which pixels decided …", ""]
    page.keyboard.press("h")
    until(page, f"({colours})() === 0")


def test_the_one_file_page_asks_nobody_for_anything(one_file, browser, pen_digits):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(one_file.as_uri())
    page.wait_for_selector("html[data-ready]")
    draw(page, pen_digits[3])
    assert number(page) == "3"
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    context.close()


def test_the_served_page_asks_its_own_service_alone(service, browser, pen_digits):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.address)
    page.wait_for_selector("html[data-ready]")
    draw(page, pen_digits[3])
    assert {url.partition("?")[0] for url in asked if not url.startswith(service.address)} <= set()
    assert "/v1/predict" in service.asked
    context.close()


def test_a_busy_service_is_asked_again(service, open_page, pen_digits):
    page = open_page(service.address)
    service.busy = 2
    draw(page, pen_digits[3])
    assert number(page) == "3"
    assert service.busy == 0


def test_a_service_with_keys_is_given_the_key_that_the_user_types(service, browser, pen_digits):
    service.key = "secret"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept("secret"))
    page.goto(service.address)
    until(page, "document.getElementById('model').textContent.includes('trained on mnist')")
    draw(page, pen_digits[3])
    assert number(page) == "3"
    context.close()


def test_who_has_no_key_is_asked_for_it_once(service, browser, pen_digits):
    service.key = "secret"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.goto(service.address)
    page.wait_for_selector("html[data-ready]")
    draw(page, pen_digits[3])
    assert asked == ["This service asks for a key."]
    assert page.locator("#model").text_content() == "The network is not loaded."
    assert page.locator("#message").text_content() == "The API key is missing or wrong."
    context.close()


def test_an_answer_that_is_no_json_is_told_in_a_sentence(service, open_page, pen_digits):
    page = open_page(service.address)
    page.route("**/v1/predict*", lambda route: route.fulfill(status=200, body="<html>"))
    draw(page, pen_digits[3])
    assert page.locator("#message").text_content() == "The service gave an answer that cannot be read."


@pytest.fixture
def hold():
    """`hold(page)`: from now on no drawing is read, until what it returns is called."""

    def hold(page):
        held, answers = [], []
        page.route("**/v1/predict*", lambda route: route.continue_() if answers else held.append(route))

        def release():
            answers.append(True)
            for route in held:
                route.continue_()

        return release

    return hold


def test_what_has_been_cleared_is_not_shown_any_more(service, open_page, pen_digits, hold):
    page = open_page(service.address)
    draw(page, pen_digits[3])
    release = hold(page)
    draw(page, pen_digits[3], left=440, waits=False)
    page.keyboard.press("c")
    assert number(page) == ""
    record(page, "number")
    release()
    wait_until_read(page)
    assert "3" not in "".join(page.evaluate("told"))


def test_what_decided_is_asked_only_of_what_has_been_read(service, open_page, pen_digits, hold):
    page = open_page(service.address)
    draw(page, pen_digits[3], left=60, scale=2)
    draw(page, pen_digits[1], left=440, scale=2)
    page.wait_for_timeout(500)  # longer than the pen must rest
    release = hold(page)
    service.asked.clear()
    page.keyboard.press("h")
    for _ in pen_digits[1]:
        page.keyboard.press("u")
    page.wait_for_timeout(500)
    assert "/v1/explain" not in service.asked
    release()
    wait_until_read(page)
    record(page, "message")
    until(page, "told.length === 2")
    assert page.evaluate("told") == ["Working out which pixels decided …", ""]
    assert "/v1/explain" in service.asked


def test_a_service_that_is_gone_is_told_and_drawing_goes_on(reader, open_page, pen_digits):
    service = Service(reader)
    page = open_page(service.address)
    service.close()
    page.context.set_offline(True)
    draw(page, pen_digits[3])
    assert page.locator("#message").text_content().startswith("The service does not answer.")
    assert page.locator("#undo").is_enabled()


def test_after_a_failure_the_page_shows_no_older_number_and_goes_on_when_it_is_answered(reader, open_page, pen_digits):
    service = Service(reader)
    page = open_page(service.address)
    draw(page, pen_digits[3])
    assert number(page) == "3"
    page.context.set_offline(True)
    draw(page, pen_digits[3], left=420)
    assert page.locator("#message").text_content().startswith("The service does not answer.")
    assert number(page) == ""
    assert page.locator("#verdict").text_content() == "not read"
    page.context.set_offline(False)
    page.click("#undo")
    wait_until_read(page)
    assert number(page) == "3"
    assert page.locator("#message").text_content() == ""
    service.close()


def test_a_service_that_did_not_answer_at_first_is_met_later(service, browser, pen_digits):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.route("**/v1/model", lambda route: route.abort(), times=2)
    page.goto(service.address)
    page.wait_for_selector("html[data-ready]")
    draw(page, pen_digits[3])
    until(page, "document.getElementById('model').textContent.includes('trained on mnist')")
    assert number(page) == "3"
    assert page.locator("#labels button").count() == 10
    context.close()


def test_reduced_motion_moves_nothing(one_file, open_page):
    page = open_page(one_file.as_uri(), reduced_motion="reduce")
    style = "getComputedStyle(document.querySelector('.bars .fill')).transitionDuration"
    assert page.evaluate(style) == "0s"


def test_the_sheet_leaves_a_finger_a_place_to_scroll_the_page_by(one_file, open_page):
    page = open_page(one_file.as_uri(), viewport={"width": 740, "height": 360})
    sheet = page.locator("#sheet").bounding_box()
    assert sheet["y"] + sheet["height"] <= 360
    assert sheet["width"] / sheet["height"] == pytest.approx(740 / 616, abs=0.01)
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.locator("#sheet").bounding_box()["width"] == 740


def test_the_help_is_shown_from_its_start(one_file, open_page):
    page = open_page(one_file.as_uri(), viewport={"width": 320, "height": 640})
    page.keyboard.press("?")
    assert page.evaluate("document.activeElement.id") == "help-title"
    assert page.evaluate("document.getElementById('help').scrollTop") == 0


def test_forced_colours_leave_bars_pressed_buttons_and_the_sheet_visible(one_file, open_page):
    page = open_page(one_file.as_uri(), forced_colors="active")
    page.click("#deciding")
    colour = "(selector) => getComputedStyle(document.querySelector(selector)).backgroundColor"
    shown = [page.evaluate(colour, f".swatch.{name}") for name in ("for", "against", "neither")]
    assert len(set(shown)) == 3
    assert page.evaluate(colour, "#deciding") != page.evaluate(colour, "#eraser")
    assert page.evaluate(colour, ".bars .fill") != page.evaluate(colour, ".bars .track")
    for selector in ("#sheet", ".card"):
        assert page.evaluate("(at) => getComputedStyle(document.querySelector(at)).outlineStyle", selector) == "solid"


def test_a_message_goes_when_the_sheet_it_was_about_changes(page, pen_digits):
    data = png(page_vectors.pictures()["dark on light"])
    page.set_input_files("#picture", {"name": "mine.png", "mimeType": "image/png", "buffer": data})
    until(page, "document.getElementById('message').textContent.startsWith('Reading mine.png')")
    draw(page, pen_digits[1])
    assert page.locator("#message").text_content() == ""
    page.click("#link")
    until(page, "document.getElementById('message').textContent")
    page.keyboard.press("u")
    assert page.locator("#message").text_content() == ""


def test_a_picture_without_digits_and_an_empty_sheet_are_told_apart(page):
    assert page.locator("#number").text_content() == "Draw a digit"
    blank = {"name": "blank.png", "mimeType": "image/png", "buffer": png(np.full((300, 300), 255, np.uint8))}
    page.set_input_files("#picture", blank)
    until(page, "document.getElementById('spoken').textContent === 'No digit found.'")
    assert page.locator("#number").text_content() == ""
    assert page.locator("#verdict").text_content() == "no digit found"
    page.keyboard.press("s")
    assert page.locator("#message").text_content() == "Only a drawing is saved, not a picture."
    page.keyboard.press("c")
    assert page.locator("#number").text_content() == "Draw a digit"


def test_rows_are_spoken_apart(page, pen_digits):
    draw(page, pen_digits[7], left=60, top=30, scale=1.2)
    draw(page, pen_digits[1], left=60, top=360, scale=1.2)
    until(page, "document.getElementById('spoken').textContent.startsWith('Reads 7, 1.')")


def test_the_focus_goes_to_the_sheet_when_its_button_can_be_pressed_no_more(page, pen_digits):
    focus = "document.activeElement.id"
    draw(page, pen_digits[1])
    for selector in ("#clear", "#forget"):
        page.focus(selector)
        page.keyboard.press("Enter")
        assert page.evaluate(focus) == "sheet"
    page.evaluate("scrollTo(0, 0)")
    draw(page, pen_digits[1])
    page.locator("#labels button").nth(1).focus()
    page.keyboard.press("Enter")
    until(page, "document.getElementById('message').textContent.startsWith('Kept as 1')")
    assert page.evaluate(focus) == "sheet"


def test_a_sample_and_a_last_drawing_are_seen_when_they_are_opened(one_file, open_page):
    page = open_page(one_file.as_uri(), viewport={"width": 390, "height": 700})
    for selector in ("#samples button", "#drawings .open"):
        page.locator(selector).first.click()
        wait_until_read(page)
        box = page.locator("#sheet").bounding_box()
        assert 0 <= box["y"] <= 700 - box["height"]
        page.click("#clear")


def test_what_was_refused_for_want_of_a_key_is_read_once_there_is_one(service, open_page, pen_digits):
    page = open_page(service.address)
    page.on("dialog", lambda dialog: dialog.accept("secret"))
    service.key = "secret"
    draw(page, pen_digits[1])
    until(page, "document.getElementById('number').textContent === '1'")
    assert page.locator("#message").text_content() == ""


# The short form has any two of form, colours and width together; the long one all others.
LOOKS = {"desktop": "service", "phone": "one file", "dark": "one file", "dark phone": "service"}


@pytest.mark.parametrize(
    ("form", "look"),
    [
        pytest.param(form, look, marks=() if form == LOOKS[look] else pytest.mark.long)
        for form in ("service", "one file")
        for look in LOOKS
    ],
)
def test_axe_finds_no_violation_in_any_state(request, open_page, axe, pen_digits, form, look):
    address = (
        request.getfixturevalue("service").address
        if form == "service"
        else request.getfixturevalue("one_file").as_uri()
    )
    how = {"viewport": {"width": 390, "height": 844}} if "phone" in look else {}
    page = open_page(address, color_scheme="dark" if "dark" in look else "light", bypass_csp=True, **how)
    page.evaluate(axe)
    assert violations(page) == []  # empty
    for place, label in enumerate((1, 1, 8)):
        draw(page, pen_digits[label], left=60 + 200 * place, scale=1.5)
    page.locator(".inside").scroll_into_view_if_needed()
    page.wait_for_selector("#layers .viewer")
    assert violations(page) == []  # several digits, and the inside of the network
    page.keyboard.press("h")
    page.keyboard.press("c")
    page.locator("#samples button", has_text="a scribble").click()
    wait_until_read(page)
    page.wait_for_timeout(400)  # the bars move
    assert violations(page) == []  # not sure, which pixels decided, the last drawings
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    assert violations(page) == []  # the help


def violations(page):
    found = page.evaluate("async () => (await axe.run(document)).violations")
    return [(each["id"], [node["html"][:100] for node in each["nodes"]]) for each in found]


def test_the_file_is_small_and_ready_at_once(one_file, open_page):
    assert one_file.stat().st_size <= 700_000
    page = open_page(one_file.as_uri())
    assert page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") < 5000
