// SPDX-License-Identifier: Apache-2.0

// openapi-typescript: types of the interface description, a program that is written against them, compiled and run.

import { execFileSync } from "node:child_process";
import { copyFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { given, tell } from "./exchange.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const { folder, description, url, numbers, picture } = given;
const run = (program, ...options) =>
  execFileSync(join(here, "node_modules/.bin", program), options, { cwd: folder, encoding: "utf8" });

symlinkSync(join(here, "node_modules"), join(folder, "node_modules"));
writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
copyFileSync(join(here, "life.ts"), join(folder, "life.ts"));
run("openapi-typescript", description, "-o", join(folder, "glimpse.ts"));
const strictly = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--skipLibCheck"];
run("tsc", ...strictly, "--module", "node16", "--lib", "es2022,dom,dom.iterable", "--types", "node", "life.ts");
const { live } = await import(pathToFileURL(join(folder, "life.js")).href);
tell(await live(url, numbers, Buffer.from(picture, "base64")));
