import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { conditions: ["source"] },
        test: { name: "client", root: "packages/client", include: ["tests/**/*.test.ts"], isolate: false },
      },
      {
        resolve: { conditions: ["source"] },
        define: { __APP_VERSION__: JSON.stringify("test") },
        test: {
          name: "editor",
          root: "packages/editor",
          include: ["tests/**/*.test.{ts,tsx}"],
          environment: "happy-dom",
          testTimeout: 30_000,
        },
      },
    ],
  },
});
