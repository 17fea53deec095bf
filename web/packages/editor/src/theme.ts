/** Colours and measures. Every text has a contrast of 4.5:1 or more to what is behind it, in light and dark. */

import { type CSSVariablesResolver, createTheme } from "@mantine/core";

const SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif';
const MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", Menlo, monospace';

export const theme = createTheme({
  primaryColor: "indigo",
  primaryShade: { light: 8, dark: 8 },
  defaultRadius: "md",
  fontFamily: SANS,
  fontFamilyMonospace: MONO,
  headings: { fontFamily: SANS, fontWeight: "650" },
  focusRing: "auto",
  respectReducedMotion: true,
  cursorType: "pointer",
  // As plain objects: naming the components here would load them with the first page.
  components: {
    // Without the placeholder that takes the focus first: the first entry of a menu has it, and nothing else is in it.
    Menu: { defaultProps: { withInitialFocusPlaceholder: false } },
    Drawer: {
      defaultProps: {
        closeButtonProps: { "aria-label": "Close" },
        transitionProps: { duration: 120 },
        attributes: { header: { role: "presentation" } },
      },
    },
    Modal: {
      defaultProps: {
        closeButtonProps: { "aria-label": "Close" },
        transitionProps: { duration: 120, transition: "fade" },
        centered: true,
        // A heading with a button: no second banner of the page.
        attributes: { header: { role: "presentation" } },
      },
    },
  },
});

/** Where Mantine's own greys and reds are too pale to be read by everybody. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#fbfbfc",
    "--mantine-color-text": "#1f2328",
    "--mantine-color-dimmed": "#565e69",
    "--mantine-color-placeholder": "#697280",
    "--mantine-color-error": "#b42318",
    "--mantine-color-anchor": "#3b5bdb",
    "--mantine-color-default": "#ffffff",
    "--mantine-color-default-border": "#c9cfd6",
  },
  dark: {
    "--mantine-color-body": "#17191c",
    "--mantine-color-text": "#e3e5e8",
    "--mantine-color-dimmed": "#a4abb5",
    "--mantine-color-placeholder": "#949ca6",
    "--mantine-color-error": "#ff9c92",
    "--mantine-color-anchor": "#a5b8ff",
    "--mantine-color-default": "#212429",
    "--mantine-color-default-border": "#434a54",
  },
});
