"""Waiting for what a page in a browser comes to."""


def until(page, condition):
    """Until an expression in the page is true; `wait_for_function` would need eval, which the page's policy forbids."""
    page.evaluate(f"""() => new Promise((resolve, reject) => {{
      const end = Date.now() + 20000;
      const check = () => {{
        if ({condition}) resolve();
        else if (Date.now() > end) reject(new Error("It never came true."));
        else setTimeout(check, 10);
      }};
      check();
    }})""")


def wait_until_read(page):
    """Until what is on the sheet is what has been read."""
    until(page, "(document.documentElement.dataset.changed ?? '0') === document.documentElement.dataset.read")
