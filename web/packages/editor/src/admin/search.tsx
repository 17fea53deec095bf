import { TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";

/** A list that is searched; `children` gets what is searched for. */
export function Searched({ label, children }: { label: string; children: (search: string) => ReactNode }) {
  const [typed, setTyped] = useState("");
  const [search] = useDebouncedValue(typed.trim(), 200);
  return (
    <>
      <div className="bar">
        <TextInput
          className="search"
          type="search"
          aria-label={label}
          placeholder={label}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
      </div>
      {children(search)}
    </>
  );
}
