/** What to do where something is uploaded that is there already. */

import { Button, Group, Stack, Text } from "@mantine/core";

/** So many are named. */
const NAMED = 8;

interface Props {
  readonly paths: readonly string[];
  readonly close: (answer?: string) => void;
}

export function Collisions({ paths, close }: Props) {
  const isOne = paths.length === 1;
  return (
    <Stack>
      <ul className="co-collisions">
        {paths.slice(0, NAMED).map((path) => (
          <li key={path}>
            <bdi>{path}</bdi>
          </li>
        ))}
        {paths.length > NAMED && <li>and {paths.length - NAMED} more</li>}
      </ul>
      <Text>
        Replacing keeps the file, who works in it and its history; keeping both gives the new {isOne ? "one" : "ones"} a
        number.
      </Text>
      <Group justify="flex-end">
        <Button variant="default" onClick={() => close()}>
          Cancel
        </Button>
        <Button variant="default" onClick={() => close("skip")}>
          {isOne ? "Skip it" : "Skip them"}
        </Button>
        <Button variant="default" onClick={() => close("replace")}>
          Replace
        </Button>
        <Button data-autofocus onClick={() => close("both")}>
          Keep both
        </Button>
      </Group>
    </Stack>
  );
}
