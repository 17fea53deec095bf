/** A moment, as far away as it is. */

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000_000],
  ["month", 2_592_000_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
];

/** @param at RFC 3339 */
export function Moment({ at }: { at: string }) {
  const date = new Date(at);
  return (
    <time dateTime={at} title={date.toLocaleString()}>
      {away(date.getTime() - Date.now())}
    </time>
  );
}

/** @param milliseconds until then; negative: since then */
export function away(milliseconds: number): string {
  for (const [unit, length] of UNITS) {
    if (Math.abs(milliseconds) >= length) return RELATIVE.format(Math.round(milliseconds / length), unit);
  }
  return "just now";
}
