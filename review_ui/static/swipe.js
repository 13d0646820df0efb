// A finger that pushes a picture aside.

const FAR_ENOUGH = 90;
const STARTED = 12;

/**
 * Listen for swipes on a frame.
 *
 * @param {HTMLElement} frame gets `--swipe` in px and data-swipe="left|right" while one is under way
 * @param {{left: () => void, right: () => void, isFree: () => boolean}} meaning
 */
export function swipes(frame, { left, right, isFree }) {
  let start = null;
  const end = () => {
    start = null;
    frame.style.removeProperty("--swipe");
    delete frame.dataset.swipe;
  };
  frame.addEventListener("pointerdown", (event) => {
    start = event.isPrimary && event.pointerType !== "mouse" && isFree() ? event : null;
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start || event.pointerId !== start.pointerId) return;
    const moved = event.clientX - start.clientX;
    if (!isFree() || Math.abs(event.clientY - start.clientY) > Math.abs(moved) + STARTED) return end();
    if (Math.abs(moved) < STARTED) return;
    frame.style.setProperty("--swipe", `${moved}px`);
    if (Math.abs(moved) >= FAR_ENOUGH) frame.dataset.swipe = moved > 0 ? "right" : "left";
    else delete frame.dataset.swipe;
  });
  frame.addEventListener("pointerup", () => {
    const done = start && { left, right }[frame.dataset.swipe];
    end();
    done?.();
  });
  frame.addEventListener("pointercancel", end);
}
