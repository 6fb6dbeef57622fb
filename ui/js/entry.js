// Loads the program. A script of its own, because the content-security policy refuses inline ones.
import init from "program";

init({ module_or_path: WASM_URL }).catch((cause) => {
  const text = document.createElement("p");
  text.setAttribute("role", "alert");
  text.className = "boot-error";
  text.textContent = `The pages could not start: ${cause.message ?? cause}. Reload the page; if that does not help, use a current browser.`;
  document.body.replaceChildren(text);
});
