// SPDX-License-Identifier: Apache-2.0

// What every program shares: what it is given, what it tells, and hosts that stand for others.

import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";

export const given = JSON.parse(readFileSync(0, "utf8"));

export function tell(found) {
  console.log(JSON.stringify(found));
}

/** What an error says of itself. */
export function failure(error, ...names) {
  return Object.fromEntries(["message", ...names].map((name) => [name, error[name] ?? null]));
}

/**
 * Have TLS connections to these hosts go elsewhere, where `http:` says that nothing is encrypted there: for clients
 * whose vendor's address cannot be set.
 */
export function lead(hosts) {
  const connect = tls.connect;
  tls.connect = (...given) => {
    const options = given.find((one) => typeof one === "object" && one !== null) ?? {};
    const host = options.host ?? options.hostname ?? given.find((one) => typeof one === "string");
    const port = options.port ?? given.find((one) => typeof one === "number");
    const found = hosts[`${host}:${port}`] ?? hosts[host];
    if (!found) return connect(...given);
    const { protocol, hostname, port: other } = new URL(found);
    const there = { ...options, host: hostname, port: Number(other) };
    return protocol === "http:" ? net.connect(there) : connect({ ...there, servername: "localhost" });
  };
}
