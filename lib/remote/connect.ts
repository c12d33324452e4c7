/**
 * How long one address of a host is tried before the next one is, where a name has several. Node gives up after 250 ms, the
 * one address of a network too, if the name has another that cannot be reached from there: less than a round trip by satellite.
 */
export const CONNECT_ATTEMPT_MS = 3000;
