/** How answers are kept: asked again when one comes back to the page; tried again only while nobody knows the answer. */

import { QueryClient } from "@tanstack/react-query";
import { Problem } from "./api/problem";

const TRIES = 2;

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        gcTime: 300_000,
        networkMode: "always",
        retry: (count, error) => count < TRIES && error instanceof Problem && error.isUncertain && !error.isUnreachable,
      },
    },
  });
}
