// SPDX-License-Identifier: Apache-2.0
/** A custom element that shows the state, and shows it anew when it has changed. */

import {watch} from '../app/state.js';
import {render} from './render.js';

export class View extends HTMLElement {
  #queued = false;
  #stop = () => {};

  connectedCallback() {
    this.#stop = watch(() => this.update());
    this.update();
  }

  disconnectedCallback() {
    this.#stop();
  }

  /** Show what is true now, once for all changes of this moment. */
  update() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (!this.isConnected) return;
      render(this, this.view());
      this.shown();
    });
  }

  /** What is to be seen. @returns {import('./render.js').Nodes} */
  view() {
    return null;
  }

  /** Called when it is to be seen. */
  shown() {}
}
