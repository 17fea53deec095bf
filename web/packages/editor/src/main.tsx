/** Starts the page. Secrets leave the address before anything else is done. */

import "./shell/mantine_styles";
import "./styles.css";
import { localStorageColorSchemeManager, MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";
import { App } from "./app";
import { takeArrival } from "./arrival";
import { styleNonce } from "./nonce";
import { makeQueryClient } from "./queries";
import { registerServiceWorker } from "./register_service_worker";
import { SessionProvider } from "./session";
import { theme, variables } from "./theme";

const address = takeArrival(location.hash);
if (address !== null) history.replaceState(null, "", address);

const nonce = styleNonce();
// The styles that keep the page behind a dialog from scrolling are made by a library that looks for its nonce here.
Object.assign(globalThis, { __webpack_nonce__: nonce });

const colors = localStorageColorSchemeManager({ key: "coscribe.colors" });
const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no #app");

createRoot(root).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      colorSchemeManager={colors}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce}
    >
      <QueryClientProvider client={makeQueryClient()}>
        <BrowserRouter>
          <SessionProvider>
            <App />
          </SessionProvider>
        </BrowserRouter>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
registerServiceWorker();
