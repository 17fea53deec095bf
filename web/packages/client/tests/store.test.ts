import { describe } from "vitest";
import { MemoryStore } from "../src/store.ts";
import { storeContract } from "./store_contract.ts";

describe("MemoryStore", () => storeContract(() => new MemoryStore()));
