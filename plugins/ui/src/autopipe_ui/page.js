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
}
