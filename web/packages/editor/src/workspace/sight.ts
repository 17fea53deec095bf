/** Long lists of which only the lines in sight, and some around them, are in the page. */

import { type RefObject, useLayoutEffect, useState } from "react";

/** Pixels. All rows have it, so the place of each is known without drawing it. */
export const ROW_HEIGHT = 32;
/** Rows that are drawn above and below what is in sight. */
const AROUND = 10;
const LEAST_ROWS = 30;

/** Which lines are drawn: those in sight and some around them. */
export function useSight(place: RefObject<HTMLElement | null>, count: number) {
  const [first, setFirst] = useState(0);
  const [height, setHeight] = useState(0);
  const look = () => setFirst(Math.floor((place.current?.scrollTop ?? 0) / ROW_HEIGHT));
  useLayoutEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const measure = () => setHeight(element.clientHeight);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [place]);
  const page = Math.max(1, Math.floor(height / ROW_HEIGHT) - 1);
  const from = Math.max(0, Math.min(first, count) - AROUND);
  const to = Math.min(count, first + Math.max(LEAST_ROWS, page) + AROUND);
  const show = (index: number) => {
    const element = place.current;
    if (element === null || index < 0 || element.clientHeight === 0) return;
    const top = index * ROW_HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW_HEIGHT > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + ROW_HEIGHT - element.clientHeight;
    }
    look();
  };
  return { from, to, page, look, show };
}
