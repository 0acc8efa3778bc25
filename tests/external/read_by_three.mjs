// Runs in node: reads GLB files with three.js and prints, as one JSON line each, what it has made of them.
//     node read_by_three.mjs FOLDER-WITH-node_modules/three FILE ...

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

// What three.js asks a browser for: the size of a PNG is all that is needed of its pixels here.
globalThis.self = globalThis;
globalThis.createImageBitmap = async (blob) => {
  const head = Buffer.from(await blob.arrayBuffer()).subarray(0, 24);
  return { width: head.readUInt32BE(16), height: head.readUInt32BE(20), close() {} };
};

const [folder, ...files] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/node_modules/three/${name}`));
const three = await load("build/three.module.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");

for (const file of files) {
  const bytes = readFileSync(file);
  const { scene } = await new GLTFLoader().parseAsync(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), "");
  scene.updateMatrixWorld(true);
  const box = new three.Box3().setFromObject(scene, true);
  let faces = 0, area = 0;
  const materials = [], colours = [0, 0, 0], point = [new three.Vector3(), new three.Vector3(), new three.Vector3()];
  scene.traverse((mesh) => {
    if (!mesh.isMesh) return;
    const { index, attributes } = mesh.geometry;
    const corners = index ? Array.from(index.array) : [...Array(attributes.position.count).keys()];
    faces += corners.length / 3;
    for (let corner = 0; corner < corners.length; corner += 3) {
      for (let i = 0; i < 3; i++) point[i].fromBufferAttribute(attributes.position, corners[corner + i]).applyMatrix4(mesh.matrixWorld);
      area += new three.Triangle(...point).getArea();
    }
    if (attributes.color) for (const corner of corners) for (let i = 0; i < 3; i++) colours[i] += attributes.color.getComponent(corner, i) / corners.length;
    const own = mesh.material;
    materials.push({
      map: own.map && [own.map.image.width, own.map.image.height],
      normal: own.normalMap && [own.normalMap.image.width, own.normalMap.image.height],
      roughness: own.roughness, metalness: own.metalness, vertexColours: own.vertexColors, tangents: Boolean(attributes.tangent),
    });
  });
  console.log("RESULT " + JSON.stringify({ file, faces, area, low: box.min.toArray(), high: box.max.toArray(), materials, colours }));
}
