// Dark or light, before anything is painted; loaded as a plain script in the head.
{
  const KEY = "nonesuch:theme";
  const root = document.documentElement;
  const chosen = () => localStorage.getItem(KEY);
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    root.dataset.theme = chosen() ?? (system.matches ? "dark" : "light");
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", ({ key }) => key === KEY && apply());
  document.addEventListener("nonesuch:theme", () => {
    localStorage.setItem(KEY, root.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
}
