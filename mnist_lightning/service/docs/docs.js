// Sends the example of a route, as it stands in its text field, and shows the answer.
for (const form of document.forms) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const shown = form.querySelector("pre");
    const body = form.querySelector("textarea")?.value;
    const request = { method: form.dataset.method };
    if (body !== undefined) Object.assign(request, { body, headers: { "Content-Type": "application/json" } });
    shown.hidden = false;
    try {
      const answer = await fetch(form.dataset.path, request);
      const text = await answer.text();
      shown.textContent = `${answer.status} ${answer.statusText}\n${text}`;
    } catch (error) {
      shown.textContent = String(error);
    }
  });
}
