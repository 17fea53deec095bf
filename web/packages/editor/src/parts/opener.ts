/** What gets the focus back when something that was opened from `active` closes: of an entry of a menu the menu's button,
 * because the entry is gone by then. */
export function openerOf(active: Element | null): HTMLElement | null {
  const menu = active?.closest("[role=menu]");
  const opener = menu ? document.getElementById(menu.getAttribute("aria-labelledby") ?? "") : active;
  return opener instanceof HTMLElement ? opener : null;
}
