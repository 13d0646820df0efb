// Numbers, times and verdicts in words.

const whole = new Intl.NumberFormat("en");
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

const STEPS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Letters besides colours, for those who do not see them. */
export const MARKS = { accepted: "✓", rejected: "✕", open: "?", undecided: "?" };
export const WORDS = {
  accepted: "accepted",
  rejected: "rejected",
  open: "to do",
  undecided: "undecided",
};

/** @param {number} n */
export function count(n) {
  return whole.format(n);
}

/** "1 picture", "12 pictures" */
export function many(n, one, more = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : more}`;
}

/** A measure with three figures that matter. */
export function measure(value, unit = "") {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value) >= 1_000 ? count(Math.round(value)) : String(+value.toPrecision(3));
  return unit ? `${text} ${unit}` : text;
}

export function bytes(n) {
  if (n < 1_000) return `${n} B`;
  return n < 1_000_000 ? `${Math.round(n / 1_000)} kB` : `${(n / 1_000_000).toFixed(1)} MB`;
}

/** "2 min. ago" @param {string} iso */
export function ago(iso, now = Date.now()) {
  const seconds = (Date.parse(iso) - now) / 1_000;
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return "just now";
}

/** "Nov 23, 2026, 9:14 AM" @param {string} iso */
export function moment(iso) {
  return exact.format(new Date(iso));
}

/** What a picture is called: its title, or the last part of where it came from. */
export function named(item) {
  if (item.title) return item.title;
  const path = (item.locator ?? "").split(/[?#]/)[0];
  return path.split("/").findLast((part) => part) ?? `${item.id.slice(0, 12)}…`;
}

/** Text in place of a picture. */
export function described(item) {
  const from = item.label ? `${named(item)}, ${item.label}` : named(item);
  return `${from} – ${WORDS[item.standing]}`;
}
