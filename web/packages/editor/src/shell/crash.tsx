/** A page that broke takes nothing else with it. */

import { Button } from "@mantine/core";
import { Component, type ReactNode } from "react";
import { State } from "../states/state";

interface CrashProps {
  /** When it changes, the page is tried again. */
  address: string;
  children: ReactNode;
}

export class Crash extends Component<CrashProps, { error: unknown; address: string }> {
  override state = { error: null as unknown, address: this.props.address };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  static getDerivedStateFromProps(props: CrashProps, state: { address: string }) {
    return props.address === state.address ? null : { error: null, address: props.address };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <State
        title="This page did not open"
        text={`A part of it did not arrive, or broke: ${this.state.error}. What you typed is kept on this device.`}
      >
        <Button onClick={() => location.reload()}>Load it again</Button>
      </State>
    );
  }
}
