/** A field for people: names that fit are offered while one types, and chosen by keyboard or pointer. */

import "./styles";
import { Combobox, Loader, TextInput, useCombobox } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { searchUsers } from "../api/accounts";
import { keys } from "../api/keys";
import { listGroups } from "../api/members";
import type { Group } from "../api/models";
import { Dot } from "../parts/notice";

interface PeopleInputProps {
  value: string;
  onChange: (value: string) => void;
  /** A group of one's own was chosen. */
  onGroup: (group: Group) => void;
}

export function PeopleInput({ value, onChange, onGroup }: PeopleInputProps) {
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  const typed = value.trim().replace(/^@/, "");
  const [search] = useDebouncedValue(/[,;@\s]/.test(typed) || typed.length < 2 ? "" : typed, 200);
  const people = useQuery({
    queryKey: keys.people(search),
    queryFn: ({ signal }) => searchUsers(search, signal),
    enabled: search !== "",
  });
  const groups = useQuery({ queryKey: keys.groups, queryFn: listGroups, enabled: search !== "" });
  const users = search ? (people.data ?? []) : [];
  const fitting = search ? (groups.data ?? []).filter(({ name }) => includes(name, search)).slice(0, 4) : [];
  const choose = (option: string) => {
    const group = fitting.find(({ groupId }) => groupId === option);
    if (group) onGroup(group);
    else onChange(option);
    combobox.closeDropdown();
  };
  return (
    <Combobox store={combobox} onOptionSubmit={choose}>
      <Combobox.Target withExpandedAttribute>
        <TextInput
          className="people"
          role="combobox"
          label="Invite"
          description="A handle or an e-mail address, or several, with commas between."
          required
          withAsterisk={false}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          data-autofocus
          value={value}
          rightSection={people.isFetching ? <Loader size="xs" /> : null}
          onChange={(event) => {
            onChange(event.currentTarget.value);
            combobox.openDropdown();
            combobox.resetSelectedOption();
          }}
          onFocus={() => combobox.openDropdown()}
          onBlur={() => combobox.closeDropdown()}
        />
      </Combobox.Target>
      <Combobox.Dropdown hidden={users.length + fitting.length === 0}>
        <Combobox.Options aria-label="People">
          {users.map(({ userId, handle, displayName, color }) => (
            <Combobox.Option key={userId} value={handle}>
              <Dot color={color} /> {displayName} <span className="quiet">@{handle}</span>
            </Combobox.Option>
          ))}
          {fitting.map(({ groupId, name, members }) => (
            <Combobox.Option key={groupId} value={groupId}>
              {name} <span className="quiet">a group of {members}</span>
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}

function includes(text: string, part: string): boolean {
  return text.toLowerCase().includes(part.toLowerCase());
}
