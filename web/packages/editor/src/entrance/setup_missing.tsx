import { Code } from "@mantine/core";
import { Page } from "../parts/page";

/** Nobody can sign in before there is an administrator. */
export function SetupMissing() {
  return (
    <Page title="Almost ready" narrow>
      <p className="lead">This server has no administrator yet.</p>
      <p>
        Open the link that <Code>coscribe serve</Code> has printed in its terminal. It works once.
      </p>
      <p className="quiet">
        No link in sight? Start the server again: it prints a new one until there is an administrator.
      </p>
    </Page>
  );
}
