// What the viewer uses of three.js; README.md beside this file says how three.min.js is made from it.
export {
  BackSide, Box3, BufferAttribute, BufferGeometry, DirectionalLight, DoubleSide, Group, LineBasicMaterial, LineSegments,
  Mesh, MeshBasicMaterial, MeshNormalMaterial, PerspectiveCamera, PMREMGenerator, Scene, Sphere, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
export { RoomEnvironment } from "three/examples/jsm/environments/RoomEnvironment.js";
export { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
