// Runs in node: writes the triangles of a GLB or glTF file as three.js poses them (skins, morphs, instances, strips, fans).
//     node triangles_by_three.mjs FOLDER-WITH-node_modules/three FILE OUT
// OUT gets nine little-endian float64 a triangle. Materials are dropped: three.js wants a browser for their pictures.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

globalThis.self = globalThis;
globalThis.ProgressEvent ??= class extends Event {};
const [folder, file, out] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/node_modules/three/${name}`));
const three = await load("build/three.module.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");
const { MeshoptDecoder } = await load("examples/jsm/libs/meshopt_decoder.module.js");

// The text and the binary part of a file, whose buffers become data: addresses, all that node can fetch.
const bytes = readFileSync(file);
let text = bytes, binary = null;
if (bytes.toString("latin1", 0, 4) === "glTF") {
  const length = bytes.readUInt32LE(12);
  text = bytes.subarray(20, 20 + length);
  binary = bytes.subarray(28 + length);
}
const content = JSON.parse(text.toString("utf8").replace(/^\uFEFF/, ""));
for (const buffer of content.buffers ?? []) {
  if (buffer.uri?.startsWith("data:") || buffer.extensions?.EXT_meshopt_compression?.fallback) continue;
  const own = buffer.uri ? readFileSync(join(dirname(file), decodeURIComponent(buffer.uri))) : binary;
  buffer.uri = "data:application/octet-stream;base64," + own.toString("base64");
}
for (const key of ["materials", "textures", "images", "samplers", "animations"]) delete content[key];
for (const mesh of content.meshes ?? []) for (const primitive of mesh.primitives) {
  delete primitive.material;
  delete primitive.extensions?.KHR_materials_variants;
}

const loader = new GLTFLoader().setMeshoptDecoder(MeshoptDecoder);
const { scene } = await loader.parseAsync(JSON.stringify(content), "");
scene.updateMatrixWorld(true);
const numbers = [], corner = new three.Vector3(), place = new three.Matrix4();
scene.traverse((mesh) => {
  if (!mesh.isMesh) return;
  const { index, attributes } = mesh.geometry;
  for (let instance = 0; instance < (mesh.isInstancedMesh ? mesh.count : 1); instance++) {
    if (mesh.isInstancedMesh) mesh.getMatrixAt(instance, place); else place.identity();
    place.premultiply(mesh.matrixWorld);
    const soup = [];
    for (let at = 0; at < (index ?? attributes.position).count; at++) {
      mesh.getVertexPosition(index ? index.getX(at) : at, corner);
      soup.push(corner.applyMatrix4(place).toArray());
    }
    const mirrored = place.determinant() < 0; // then the other winding is the front
    for (let at = 0; at + 2 < soup.length; at += 3) {
      numbers.push(...soup[at], ...soup[at + (mirrored ? 2 : 1)], ...soup[at + (mirrored ? 1 : 2)]);
    }
  }
});
writeFileSync(out, Buffer.from(Float64Array.from(numbers).buffer));
