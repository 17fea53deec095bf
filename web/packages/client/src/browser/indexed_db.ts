/**
 * The store in IndexedDB. Three object stores, so that a keystroke writes a small record and not the text:
 *
 *     records       [account, fileId, series]              what is pending
 *     bases         [account, fileId, series]              the server's text at some sequence
 *     operations    [account, fileId, series, sequence]    committed behind the base
 */

import type { RecordKey, Save, Store, StoredBase, StoredFile, StoredRecord } from "../store.ts";
import type { CommittedOperation } from "../wire/codec.ts";

const VERSION = 1;

export class IndexedDbStore implements Store {
  readonly #name: string;
  readonly #factory: IDBFactory;
  #database: Promise<IDBDatabase> | null = null;

  /** `name`: of the database. Nothing is opened before it is needed. */
  constructor(name = "coscribe", factory: IDBFactory = indexedDB) {
    this.#name = name;
    this.#factory = factory;
  }

  async list(account: string): Promise<StoredRecord[]> {
    const transaction = await this.#begin("readonly");
    return answer<StoredRecord[]>(transaction.objectStore("records").getAll(below([account])));
  }

  async load(key: RecordKey): Promise<StoredFile | null> {
    const transaction = await this.#begin("readonly");
    const [record, base, operations] = await Promise.all([
      answer<StoredRecord | undefined>(transaction.objectStore("records").get(keyOf(key))),
      answer<StoredBase | undefined>(transaction.objectStore("bases").get(keyOf(key))),
      answer<CommittedOperation[]>(transaction.objectStore("operations").getAll(below(keyOf(key)))),
    ]);
    return record === undefined ? null : { record, base: base ?? null, operations };
  }

  async save({ record, base, operations }: Save): Promise<void> {
    const transaction = await this.#begin("readwrite");
    const key = keyOf(record);
    try {
      if (base !== undefined) {
        transaction.objectStore("operations").delete(below(key));
        if (base === null) transaction.objectStore("bases").delete(key);
        else transaction.objectStore("bases").put(base, key);
      }
      for (const operation of operations) {
        transaction.objectStore("operations").put(operation, [...key, operation.serverSequenceId]);
      }
      transaction.objectStore("records").put(record, key);
      transaction.commit(); // else it would end with a page that goes away before it hears of its requests
    } catch (error) {
      transaction.abort();
      throw error;
    }
    await done(transaction);
  }

  async delete(key: RecordKey): Promise<void> {
    const transaction = await this.#begin("readwrite");
    transaction.objectStore("records").delete(keyOf(key));
    transaction.objectStore("bases").delete(keyOf(key));
    transaction.objectStore("operations").delete(below(keyOf(key)));
    await done(transaction);
  }

  async #begin(mode: IDBTransactionMode): Promise<IDBTransaction> {
    this.#database ??= this.#open();
    try {
      const database = await this.#database;
      return database.transaction(["records", "bases", "operations"], mode, { durability: "relaxed" });
    } catch (error) {
      this.#database = null;
      throw error;
    }
  }

  async #open(): Promise<IDBDatabase> {
    const request = this.#factory.open(this.#name, VERSION);
    request.onupgradeneeded = () => {
      for (const name of ["records", "bases", "operations"]) request.result.createObjectStore(name);
    };
    const database = await answer(request);
    database.onversionchange = () => database.close();
    database.onclose = () => {
      this.#database = null;
    };
    return database;
  }
}

function keyOf({ account, fileId, series }: RecordKey): string[] {
  return [account, fileId, series];
}

/** All keys that begin with these parts: a list sorts behind every string and number. */
function below(parts: string[]): IDBKeyRange {
  return IDBKeyRange.bound(parts, [...parts, []]);
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
