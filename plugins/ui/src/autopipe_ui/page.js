() => {
  const dark = localStorage.getItem("autopipe-dark");
  if (dark !== null) document.body.classList.toggle("dark", dark === "true");
  const press = (id) => {
    const button = document.getElementById(id);
    if (button && button.offsetParent !== null && !button.disabled) button.click();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      document.activeElement?.dispatchEvent(new Event("input", { bubbles: true }));
      press("draw");
    } else if (event.key === "Escape") {
      press("cancel");
    }
  });
  // What a press of Draw leads to is often out of view, below the form or above it.
  let before = "";
  const look = () => {
    const stage = document.querySelector("#stage .stage");
    const kind = stage ? stage.className : "";
    if (kind !== before && /drawing|problem/.test(kind)) stage.scrollIntoView({ block: "nearest" });
    before = kind;
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#draw")) return;
    before = "";
    look();
  });
}
