/** React's view of a player: rendered again only when what is selected of it has changed. */

import { useSyncExternalStore } from "react";
import type { Player, PlayerState } from "./player";

/** @param select gives a primitive value, or the same object as long as nothing has changed */
export function usePlayer<Selected>(player: Player, select: (state: PlayerState) => Selected): Selected {
  return useSyncExternalStore(player.subscribe, () => select(player.state()));
}
