import { Button } from "@mantine/core";
import { Problem, textOf } from "../api/problem";
import { Notice } from "../parts/notice";

/** Something could not be shown: why, and once more. */
export function Failed({ error, again }: { error: unknown; again: () => void }) {
  const isUnreachable = error instanceof Problem && error.isUnreachable;
  return (
    <Notice kind={isUnreachable ? "warning" : "refused"} role="alert">
      <p>{textOf(error)}</p>
      <Button variant="default" size="compact-md" onClick={again}>
        Try again
      </Button>
    </Notice>
  );
}
