import { Problem } from "../api/problem";
import { HomeLink } from "./home_link";
import { State } from "./state";

const NOT_WHOLE = new Problem(404, { code: "secret_invalid" }).text;

/** A link that opens nothing any more, or only in part arrived. */
export function ExpiredLink({ text = NOT_WHOLE }: { text?: string }) {
  return (
    <State title="This link does not work any more" text={text}>
      <HomeLink text="To the start" />
    </State>
  );
}
