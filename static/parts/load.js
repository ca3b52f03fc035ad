// Hooks that bring data from the server and keep it current.

import { useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { listen } from "../core/stream.js";

/** @typedef {import("../core/stream.js").Filter} Filter */
/** @typedef {import("../core/types.js").FleetEvent} FleetEvent */
/**
 * What was loaded last stays until something newer is there: nothing flickers.
 *
 * @template Data
 * @typedef {{data: Data | null, error: Error | null, loading: boolean, reload: () => void}} Loaded
 */

/**
 * Loads when an input changes and whenever `reload` is called; the newest call wins.
 *
 * @template Data
 * @param {(signal: AbortSignal) => Promise<Data>} load
 * @param {unknown[]} inputs
 * @returns {Loaded<Data>}
 */
export function useLoaded(load, inputs) {
  const [state, setState] = useState(
    /** @type {{data: Data | null, error: Error | null, loading: boolean}} */ ({
      data: null,
      error: null,
      loading: true,
    }),
  );
  const running = useRef(/** @type {AbortController | null} */ (null));
  const latest = useRef(load);
  latest.current = load;
  const reload = useCallback(() => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState((before) => ({ ...before, loading: true }));
    latest.current(controller.signal).then(
      (data) => {
        if (running.current === controller) {
          setState({ data, error: null, loading: false });
        }
      },
      (error) => {
        if (running.current === controller && !controller.signal.aborted) {
          setState((before) => ({ ...before, error, loading: false }));
        }
      },
    );
  }, []);
  useEffect(() => {
    reload();
    return () => {
      running.current?.abort();
      running.current = null;
    };
  }, inputs);
  return { ...state, reload };
}

/** For what has no events. @type {Filter} */
export const NO_EVENTS = { kinds: [] };

/**
 * Hears events as long as the component is shown.
 *
 * @param {Filter} filter
 * @param {(event: FleetEvent) => void} onEvent
 * @param {() => void} onMissed
 */
export function useEvents(filter, onEvent, onMissed) {
  const calls = useRef({ onEvent, onMissed });
  calls.current = { onEvent, onMissed };
  useEffect(
    () =>
      filter.kinds.length === 0
        ? undefined
        : listen({
            filter,
            onEvent: (event) => calls.current.onEvent(event),
            onMissed: () => calls.current.onMissed(),
          }),
    [JSON.stringify(filter)],
  );
}

/**
 * Calls `work` at most once per `pause` milliseconds: at once, and once more at the end if called meanwhile.
 *
 * @param {() => void} work
 * @param {number} pause
 */
export function useThrottled(work, pause) {
  const state = useRef({ work, timer: /** @type {any} */ (null), again: false });
  state.current.work = work;
  useEffect(() => () => clearTimeout(state.current.timer), []);
  return useCallback(() => {
    const throttle = state.current;
    const run = () => {
      throttle.again = false;
      throttle.work();
      throttle.timer = setTimeout(() => {
        throttle.timer = null;
        if (throttle.again) {
          run();
        }
      }, pause);
    };
    if (throttle.timer === null) {
      run();
    } else {
      throttle.again = true;
    }
  }, []);
}

/**
 * Loads, and loads anew when an event of the filter comes, at most once per `pause` milliseconds.
 *
 * @template Data
 * @param {(signal: AbortSignal) => Promise<Data>} load
 * @param {unknown[]} inputs
 * @param {Filter} filter
 * @param {{pause?: number, aftermath?: number}} [options] milliseconds: between two loads, and after the last event
 *   within which the server draws its conclusions
 * @returns {Loaded<Data>}
 */
export function useLive(load, inputs, filter, { pause = 1000, aftermath } = {}) {
  const loaded = useLoaded(load, inputs);
  const again = useThrottled(loaded.reload, pause);
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  useEffect(() => () => clearTimeout(timer.current), []);
  const onEvent = () => {
    again();
    if (aftermath !== undefined) {
      clearTimeout(timer.current);
      timer.current = setTimeout(again, aftermath);
    }
  };
  useEvents(filter, onEvent, again);
  return loaded;
}

/**
 * What is typed, once the reader has paused.
 *
 * @template Value
 * @param {Value} value
 * @param {number} [pause] milliseconds
 * @returns {Value}
 */
export function useSettled(value, pause = 300) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), pause);
    return () => clearTimeout(timer);
  }, [JSON.stringify(value)]);
  return settled;
}
