import { HomeLink } from "./home_link";
import { State } from "./state";

/** An address that leads nowhere. */
export default function NotFound() {
  return (
    <State title="There is no such page" text="The address may have been typed or copied with a mistake in it.">
      <HomeLink />
    </State>
  );
}
