/** A colour comes from elsewhere, so it is not believed to be one. */
export function safeColor(color: string): string {
  return /^#[0-9a-f]{6}$/i.test(color) ? color : "#888888";
}
