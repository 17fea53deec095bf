/** Who is followed at the moment: shared by the view, which scrolls, and the bar, which shows it. */
export class FollowedPerson {
  #userId: string | null = null;
  readonly #listeners = new Set<() => void>();

  readonly get = (): string | null => this.#userId;

  readonly end = (): void => this.#set(null);

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  toggle(userId: string): void {
    this.#set(this.#userId === userId ? null : userId);
  }

  #set(userId: string | null): void {
    if (userId === this.#userId) return;
    this.#userId = userId;
    for (const listener of [...this.#listeners]) listener();
  }
}
