// Sends the example of a route, as it stands in its text field, and shows the answer.
for (const form of document.forms) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const shown = form.querySelector("pre");
    const body = form.querySelector("textarea")?.value;
    const headers = {};
    const key = document.getElementById("key")?.value;
    if (key) headers["X-API-Key"] = key;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    shown.hidden = false;
    try {
      const answer = await fetch(form.dataset.path, { method: form.dataset.method, headers, body });
      const text = await answer.text();
      shown.textContent = `${answer.status} ${answer.statusText}\n${text}`;
    } catch (error) {
      shown.textContent = String(error);
    }
  });
}
