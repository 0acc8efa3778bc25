// What the viewer uses of three.js; README.md beside this file says how three.min.js is made from it.
export {
  Box3, BufferAttribute, BufferGeometry, DataTexture, DirectionalLight, EquirectangularReflectionMapping, FloatType,
  LineBasicMaterial, LineSegments, LinearFilter, Mesh, MeshBasicMaterial, MeshNormalMaterial, PerspectiveCamera,
  RGBAFormat, Scene, Sphere, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
export { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
