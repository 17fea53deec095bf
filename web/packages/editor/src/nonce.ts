/** What the page's `<meta>` says has to be on style elements that scripts add to it; "" where it says nothing. */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";
}
