/** Who is here: names beside colours, and following somebody. */

import type { Document } from "@coscribe/client";
import { Button, Group, Popover, Stack, Text, UnstyledButton } from "@mantine/core";
import { useSyncExternalStore } from "react";
import type { FollowedPerson } from "./followed_person";
import { type Person, usePeople } from "./use_document";

/** So many are shown in the bar; the rest is a number. */
const IN_BAR = 4;

interface Props {
  readonly document: Document;
  readonly followed: FollowedPerson;
}

export function People({ document, followed }: Props) {
  const people = usePeople(document);
  const followedId = useSyncExternalStore(followed.subscribe, followed.get);
  if (people.length === 0) return null;
  const others = people.length - 1;
  const label =
    others === 0 ? "Only you are here" : `${others === 1 ? "One other person is" : `${others} others are`} here`;
  return (
    <Popover width={280} position="bottom-end" withArrow shadow="md">
      <Popover.Target>
        <UnstyledButton className="co-people" aria-label={label}>
          {people.slice(0, IN_BAR).map((person) => (
            <Dot key={person.userId} person={person} />
          ))}
          {people.length > IN_BAR && <span className="co-people-more">+{people.length - IN_BAR}</span>}
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap="xs" component="ul" className="co-people-list" aria-label="Who is here">
          {people.map((person) => (
            <Group component="li" key={person.userId} gap="xs" wrap="nowrap">
              <Dot person={person} />
              <Text size="sm" truncate className="co-people-name">
                {person.displayName}
                {person.isSelf && " (you)"}
                <Text span size="xs" c="dimmed">
                  {" "}
                  {person.role}
                  {person.windows > 1 && `, ${person.windows} windows`}
                </Text>
              </Text>
              {!person.isSelf && (
                <Button
                  size="compact-xs"
                  variant={followedId === person.userId ? "filled" : "default"}
                  aria-pressed={followedId === person.userId}
                  aria-label={`Follow ${person.displayName}`}
                  onClick={() => followed.toggle(person.userId)}
                >
                  {followedId === person.userId ? "Following" : "Follow"}
                </Button>
              )}
            </Group>
          ))}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}

function Dot({ person }: { readonly person: Person }) {
  return (
    <span className="co-dot" style={{ "--co-color": person.color } as React.CSSProperties} aria-hidden="true">
      {initials(person.displayName)}
    </span>
  );
}

function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => [...(word ?? "")][0] ?? "");
  return letters.join("").toUpperCase();
}
