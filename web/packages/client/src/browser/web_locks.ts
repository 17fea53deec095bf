import { deferred } from "../deferred.ts";
import type { Locks } from "../locks.ts";
import { MemoryLocks } from "../locks.ts";

/** The Web Locks of an origin: a tab that is closed, or crashes, gives its locks back. Where there are none (a page that
 * was not served over TLS) the locks of this page. */
export function webLocks(): Locks {
  const manager: LockManager | undefined = navigator.locks;
  if (manager === undefined) return new MemoryLocks();
  return {
    async claim(name) {
      const claimed = deferred<(() => void) | null>();
      const held = deferred<void>();
      manager
        .request(name, { ifAvailable: true }, (lock) => {
          claimed.resolve(lock === null ? null : () => held.resolve());
          return lock === null ? undefined : held.promise;
        })
        .catch(claimed.reject);
      return claimed.promise;
    },
  };
}
