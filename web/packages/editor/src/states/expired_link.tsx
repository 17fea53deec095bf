import { HomeLink } from "./home_link";
import { State } from "./state";

/** A link that opens nothing any more, or only in part arrived. */
export function ExpiredLink({ text }: { text?: string }) {
  return (
    <State
      title="This link does not work any more"
      text={text ?? "It was used already, has expired, was switched off, or was not copied whole. Ask for a new one."}
    >
      <HomeLink text="To the start" />
    </State>
  );
}
