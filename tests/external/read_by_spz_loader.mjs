// Prints as JSON what spz-loader (Niantic's C++ library, compiled for the web) reads of an .spz file.
// Coordinates come as they are stored; sizes, opacities and colours as numbers that mean something.
import fs from "node:fs";
import path from "node:path";

const [folder, file] = process.argv.slice(2);
const { loadSpz } = await import(path.join(folder, "node_modules", "@spz-loader", "core", "dist", "index.js"));
// The package was bundled for browsers, and asks for what Node.js lacks in it as soon as it sees Node.js.
const bytes = new Uint8Array(fs.readFileSync(file));
process.type = "renderer";
globalThis.window = globalThis;
const cloud = await loadSpz(bytes);
const numbers = Object.fromEntries(
  ["positions", "scales", "rotations", "alphas", "colors"].map((name) => [name, Array.from(cloud[name])]),
);
console.log("RESULT " + JSON.stringify({ count: cloud.numPoints, ...numbers }));
