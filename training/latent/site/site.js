// Shows the pictures of the folder beside it. No module: browsers load none from a disk.
"use strict";

(() => {
  const { seed, count, width, height } = Object.fromEntries(
    Object.entries(document.body.dataset).map(([key, value]) => [key, Number(value)]),
  );
  const CHUNK = 120;
  const ENLARGED_BELOW = 128;
  const address = (number) => `pictures/seed${String(seed + number).padStart(8, "0")}.jpg`;
  const byId = (id) => document.getElementById(id);
  const reduced = (number) => ((number % count) + count) % count;
  if (Math.max(width, height) < ENLARGED_BELOW) document.body.classList.add("small");

  function showGrid(grid) {
    let shown = 0;
    const end = document.createElement("div");
    grid.after(end);
    const more = () => {
      const until = Math.min(shown + CHUNK, count);
      for (; shown < until; shown += 1) grid.append(tile(shown));
      if (shown === count) watcher.disconnect();
    };
    const watcher = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && more(), {
      rootMargin: "1200px",
    });
    more();
    watcher.observe(end);
    // One that stays in view is told of once: look again whenever the page is scrolled.
    addEventListener("scroll", () => end.getBoundingClientRect().top < innerHeight + 1200 && shown < count && more(), {
      passive: true,
    });
  }

  function tile(number) {
    const link = document.createElement("a");
    link.href = `#${seed + number}`;
    const image = new Image(width, height);
    image.loading = "lazy";
    image.alt = `Seed ${seed + number}`;
    image.src = address(number);
    link.append(image);
    return link;
  }

  function showViewer(viewer) {
    let at = 0;
    const open = () => {
      const number = Number.parseInt(location.hash.slice(1), 10) - seed;
      if (!(number >= 0 && number < count)) return viewer.close();
      at = number;
      byId("large").src = address(at);
      byId("large").alt = `Seed ${seed + at}`;
      byId("name").textContent = `seed ${seed + at}`;
      if (!viewer.open) viewer.showModal();
    };
    const go = (by) => location.replace(`#${seed + reduced(at + by)}`);
    byId("before").addEventListener("click", () => go(-1));
    byId("after").addEventListener("click", () => go(1));
    byId("close").addEventListener("click", () => viewer.close());
    viewer.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
    viewer.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") go(-1);
      if (event.key === "ArrowRight") go(1);
    });
    addEventListener("hashchange", open);
    open();
  }

  function showRandom(image) {
    const another = () => {
      const number = Math.floor(Math.random() * count);
      image.src = address(number);
      image.alt = `Seed ${seed + number}`;
    };
    byId("another").addEventListener("click", another);
    addEventListener("keydown", (event) => {
      if (event.key !== " " || event.target.closest("button, a")) return;
      event.preventDefault();
      another();
    });
    another();
  }

  if (byId("grid")) showGrid(byId("grid"));
  if (byId("viewer")) showViewer(byId("viewer"));
  if (byId("one")) showRandom(byId("one"));
})();
