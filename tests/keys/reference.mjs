// The key format of docs/cache_keys.md, written from that page alone: the cross-language check of the golden vectors.
//
//   node reference.mjs vectors DIR   checks the vectors, prints how many
//   node reference.mjs print         canonical JSON of each line of JSON on standard input
//   node reference.mjs doubles       each line's 16 hex digits, as a double, in canonical JSON
//   node reference.mjs keys          the request key of each line, written as in requests.jsonl

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).sort(); // by UTF-16 code units
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

function number(n) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(n));
  return bytes;
}

function field(part) {
  const bytes = Buffer.from(part);
  return Buffer.concat([number(bytes.length), bytes]);
}

export function valueKey(value, namespace) {
  return sha256(field("hotloop/value/1"), field(namespace), canonical(value));
}

const OUT = readFileSync(new URL("../../docs/cache_keys.md", import.meta.url), "utf8")
  .match(/<!-- left out -->\s*```text\n([^`]*)```/)[1].trim().split(/\s+/);
const leftOut = (name) => OUT.some((out) => (out.endsWith("*") ? name.startsWith(out.slice(0, -1)) : name === out));

function headerFields(headers) {
  const values = new Map();
  for (const [rawName, rawValue] of headers) {
    const name = rawName.toLowerCase();
    const value = rawValue.replace(/^[ \t]+|[ \t]+$/g, "");
    if (!leftOut(name)) values.set(name, values.has(name) ? `${values.get(name)}, ${value}` : value);
  }
  const names = [...values.keys()].sort();
  return [number(names.length), ...names.flatMap((name) => [field(name), field(values.get(name))])];
}

export function requestKey(body, { url = "", headers = [], tenant = "", namespace = "" }) {
  const chained = Array.isArray(body.messages);
  const { messages, ...rest } = body;
  let key = sha256(
    field("hotloop/request/1"), field(namespace), field(Buffer.from(tenant, "hex")), field(url), ...headerFields(headers),
    field(chained ? "messages" : ""), canonical(chained ? rest : body),
  );
  for (const message of chained ? messages : []) key = sha256(field("hotloop/message/1"), key, canonical(message));
  return key;
}

function double(hex) {
  const bytes = Buffer.from(hex, "hex");
  return canonical(bytes.readDoubleBE(0));
}

const lines = (text) => text.split("\n").filter((line) => line !== "");
const read = (folder, name) => lines(readFileSync(join(folder, name), "utf8")).map((line) => JSON.parse(line));

function check(folder) {
  let checked = 0;
  const expect = (found, wanted, of) => {
    if (found !== wanted) throw new Error(`${JSON.stringify(of)}: ${found}`);
    checked += 1;
  };
  for (const one of read(folder, "canonical.jsonl")) expect(canonical(JSON.parse(one.text)), one.canonical, one);
  for (const one of read(folder, "doubles.jsonl")) expect(double(one.bits), one.canonical, one);
  for (const one of read(folder, "values.jsonl")) {
    expect(valueKey(JSON.parse(one.text), one.namespace).toString("hex"), one.key, one);
  }
  for (const one of read(folder, "requests.jsonl")) {
    expect(requestKey(JSON.parse(one.body), one).toString("hex"), one.key, one);
  }
  return checked;
}

const [command, folder] = process.argv.slice(2);
if (command === "vectors") console.log(check(folder));
if (command === "print") console.log(lines(readFileSync(0, "utf8")).map((line) => canonical(JSON.parse(line))).join("\n"));
if (command === "doubles") console.log(lines(readFileSync(0, "utf8")).map(double).join("\n"));
if (command === "keys") {
  const keyOf = (one) => requestKey(JSON.parse(one.body), one).toString("hex");
  console.log(lines(readFileSync(0, "utf8")).map((line) => keyOf(JSON.parse(line))).join("\n"));
}
