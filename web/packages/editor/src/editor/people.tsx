/** Who is here: names beside colours, and following somebody. */

import type { Document } from "@coscribe/client";
import { Button } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { Disclosed } from "./disclosed";
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
    <Disclosed
      className="co-people"
      aria-label={label}
      width={280}
      face={
        <>
          {people.slice(0, IN_BAR).map((person) => (
            <Dot key={person.userId} person={person} />
          ))}
          {people.length > IN_BAR && <span className="co-people-more" data-text={`+${people.length - IN_BAR}`} />}
        </>
      }
    >
      <ul className="co-people-list" aria-label="Who is here">
        {people.map((person) => (
          <li key={person.userId}>
            <Dot person={person} />
            <span className="co-people-name">
              {person.displayName}
              {person.isSelf && " (you)"}
              <span className="quiet">
                {" "}
                {person.role}
                {person.windows > 1 && `, ${person.windows} windows`}
              </span>
            </span>
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
          </li>
        ))}
      </ul>
    </Disclosed>
  );
}

/** A colour with initials. They are drawn by the style sheet: the name beside them, or the label of the button, says it. */
function Dot({ person }: { readonly person: Person }) {
  const style = { "--co-color": person.color } as React.CSSProperties;
  return <span className="co-dot" style={style} data-text={initials(person.displayName)} aria-hidden="true" />;
}

function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => [...(word ?? "")][0] ?? "");
  return letters.join("").toUpperCase();
}
