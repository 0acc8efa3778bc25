"use strict";
// The model of the page, to be turned. Defines `modelViewer`, which is null where there is no place for one or no WebGL.
// The page shows the turntable until a model has been drawn, so that nothing is missing where WebGL is.

const modelViewer = (() => {
  const TURN_SECONDS = 24;
  const FIELD_OF_VIEW = 30; // degrees, vertical
  const FIRST_AZIMUTH = 30, FIRST_ELEVATION = 14; // degrees; 0, 0 is straight in front
  const KEY_TURN = Math.PI / 24, KEY_ZOOM = 0.9;

  /** What is drawn in each mode: (glTF's own material, what it has) -> material. */
  const MATERIALS = {
    colour: (own) => new three.MeshBasicMaterial({
      color: own.color, map: own.map, vertexColors: own.vertexColors, side: own.side,
      transparent: own.transparent, alphaTest: own.alphaTest, opacity: own.opacity,
    }),
    lit: (own) => own,
    wireframe: (own) => new three.MeshBasicMaterial({
      color: themeColour("--surface"), side: own.side, polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1,
    }),
    normals: (own) => new three.MeshNormalMaterial({
      normalMap: own.normalMap, normalScale: own.normalScale, flatShading: own.flatShading, side: own.side,
    }),
  };

  const stillness = matchMedia("(prefers-reduced-motion: reduce)");
  const themeColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** The distance from which a sphere fills the view, whichever of its sides is the shorter one. */
  function fittingDistance(radius, aspect) {
    const half = (FIELD_OF_VIEW / 2) * (Math.PI / 180);
    return radius / Math.sin(Math.min(half, Math.atan(Math.tan(half) * aspect)));
  }

  /** The largest of 1 mm, 1 cm, 10 cm, ... that divides the object's longest side at least three times. */
  const cellSize = (longest) => 10 ** Math.floor(Math.log10(Math.max(longest, 1e-6) / 3));

  function lengthInWords(metres) {
    if (metres >= 1) return `${metres} m`;
    return metres >= 0.01 ? `${Math.round(metres * 100)} cm` : `${+(metres * 1000).toPrecision(1)} mm`;
  }

  /** Lines on the floor that fade out with the distance from the object; positions are in cells. */
  function floorLines(cells) {
    const positions = [], colours = []; // white, to be multiplied by the material's colour, and an opacity
    const vertex = (x, z) => {
      positions.push(x, 0, z);
      colours.push(1, 1, 1, Math.max(0, 1 - Math.hypot(x, z) / cells) ** 1.5);
    };
    for (let line = -cells; line <= cells; line++) {
      for (let along = -cells; along < cells; along++) {
        vertex(line, along); vertex(line, along + 1);
        vertex(along, line); vertex(along + 1, line);
      }
    }
    const geometry = new three.BufferGeometry();
    geometry.setAttribute("position", new three.BufferAttribute(new Float32Array(positions), 3));
    geometry.setAttribute("color", new three.BufferAttribute(new Float32Array(colours), 4));
    return geometry;
  }

  /** What surrounds the object: a bright ceiling, a darker floor, and two wide lamps, which metals mirror. */
  function studio() {
    const width = 64, height = 32;
    const values = new Float32Array(4 * width * height);
    for (let row = 0; row < height; row++) {
      const up = (row + 0.5) / height * 2 - 1; // rows begin at the bottom; 1 is straight above
      for (let column = 0; column < width; column++) {
        const around = (column + 0.5) / width;
        const lamp = up > 0.15 && up < 0.7 && (Math.abs(around - 0.2) < 0.07 || Math.abs(around - 0.7) < 0.04);
        const light = lamp ? 3.2 : 0.42 + 0.4 * Math.max(-0.6, up);
        values.set([light, light, light, 1], 4 * (row * width + column));
      }
    }
    const texture = new three.DataTexture(values, width, height, three.RGBAFormat, three.FloatType);
    texture.mapping = three.EquirectangularReflectionMapping;
    texture.minFilter = texture.magFilter = three.LinearFilter;
    texture.needsUpdate = true;
    return texture;
  }

  class ModelViewer {
    /** Raises an error if the browser has no WebGL. */
    constructor(root) {
      this.root = root;
      this.stage = root.querySelector(".stage");
      this.canvas = root.querySelector("canvas");
      this.renderer = new three.WebGLRenderer({ canvas: this.canvas, antialias: true, alpha: true });
      this.scene = new three.Scene();
      this.camera = new three.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 100);
      // A key light over the viewer's left shoulder and a weaker one from the right, wherever the viewer goes.
      for (const [intensity, x, y, z] of [[1.9, -1, 1.2, 1], [0.6, 1.5, 0.2, 0.5]]) {
        const light = new three.DirectionalLight(0xffffff, intensity);
        light.position.set(x, y, z);
        this.camera.add(light, light.target);
      }
      this.scene.environment = studio();
      this.scene.add(this.camera);
      this.controls = new three.OrbitControls(this.camera, this.canvas);
      this.controls.enableDamping = !stillness.matches;
      this.controls.autoRotateSpeed = 60 / TURN_SECONDS;
      this.canvas.style.touchAction = "pan-y"; // a phone's page can still be scrolled over the canvas
      this.meshes = []; // each {mesh, own, wires}
      this.object = null;
      this.floor = null;
      this.mode = this.stage.dataset.first;
      this.waiting = false;
      this.#listen();
    }

    /** Show a GLB file's bytes in the place of what was shown; the first one also places the camera. */
    async show(bytes) {
      const { scene } = await new three.GLTFLoader().parseAsync(bytes.buffer, "");
      const first = this.object === null;
      this.#remove();
      this.object = scene;
      let faces = 0, unlit = true;
      const meshes = [];
      scene.traverse((node) => node.isMesh && meshes.push(node));
      for (const mesh of meshes) {
        faces += (mesh.geometry.index ?? mesh.geometry.attributes.position).count / 3;
        unlit &&= Boolean(mesh.material.isMeshBasicMaterial);
        const lines = new three.MeshBasicMaterial({ wireframe: true, transparent: true });
        const wires = new three.Mesh(mesh.geometry, lines);
        mesh.add(wires);
        this.meshes.push({ mesh, own: mesh.material, wires });
      }
      if (faces === 0) throw new Error("the file holds no triangles");
      this.scene.add(scene);
      this.#measure();
      this.#placeFloor();
      this.stage.dataset.faces = faces;
      this.root.classList.add("ready");
      if (first) {
        this.#resize();
        this.reset();
        this.turn(!stillness.matches);
        this.choose(unlit ? "colour" : this.stage.dataset.first);
      } else {
        this.choose(this.mode);
      }
    }

    /** Draw as "colour", "lit", "wireframe" or "normals". */
    choose(mode) {
      this.mode = mode;
      this.stage.dataset.mode = mode;
      this.root.querySelector(`input[value="${mode}"]`).checked = true;
      for (const { mesh, own, wires } of this.meshes) {
        if (mesh.material !== own) mesh.material.dispose();
        mesh.material = MATERIALS[mode](own);
        wires.visible = mode === "wireframe";
        wires.material.color.set(themeColour("--wire"));
        wires.material.opacity = Number(themeColour("--wire-opacity"));
      }
      this.draw();
    }

    /** Let the object turn by itself, or stop it. */
    turn(on) {
      this.controls.autoRotate = on;
      this.root.querySelector("[data-action=turn]").setAttribute("aria-pressed", String(on));
      this.draw();
    }

    /** The camera back where it was in the beginning. */
    reset() {
      const { center, radius } = this.sphere;
      const azimuth = FIRST_AZIMUTH * (Math.PI / 180), elevation = FIRST_ELEVATION * (Math.PI / 180);
      const distance = fittingDistance(radius, this.camera.aspect) * 1.02;
      this.camera.near = radius / 50;
      this.camera.far = distance + 60 * radius;
      this.camera.updateProjectionMatrix();
      this.controls.minDistance = radius / 4;
      this.controls.maxDistance = 12 * radius;
      this.controls.target.copy(center);
      this.camera.position.set(
        center.x + distance * Math.cos(elevation) * Math.sin(azimuth),
        center.y + distance * Math.sin(elevation),
        center.z + distance * Math.cos(elevation) * Math.cos(azimuth),
      );
      this.draw();
    }

    /** Draw soon, and go on as long as anything moves. */
    draw() {
      if (this.waiting || !this.object) return;
      this.waiting = true;
      requestAnimationFrame((now) => {
        this.waiting = false;
        const seconds = Math.min((now - (this.last ?? now)) / 1000, 0.1);
        this.last = now;
        const moved = this.controls.update(seconds);
        this.renderer.render(this.scene, this.camera);
        if (moved || (this.controls.autoRotate && this.inSight)) this.draw();
        else this.last = null;
      });
    }

    #listen() {
      this.inSight = true;
      new ResizeObserver(() => this.#resize()).observe(this.stage);
      new IntersectionObserver(([entry]) => { this.inSight = entry.isIntersecting; this.draw(); }).observe(this.stage);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        if (!this.object) return;
        this.#colourFloor();
        this.choose(this.mode);
      });
      this.controls.addEventListener("change", () => this.draw());
      this.controls.addEventListener("start", () => this.turn(false));
      // Until the canvas has been clicked, the wheel scrolls the page.
      this.stage.addEventListener("wheel", (event) => {
        if (document.activeElement !== this.canvas) event.stopPropagation();
      }, { capture: true });
      this.canvas.addEventListener("pointerdown", () => this.canvas.focus({ preventScroll: true }));
      this.canvas.addEventListener("keydown", (event) => this.#key(event));
      for (const radio of this.root.querySelectorAll("input[name=mode]")) {
        radio.addEventListener("change", () => this.choose(radio.value));
      }
      const actions = { turn: () => this.turn(!this.controls.autoRotate), reset: () => this.reset() };
      for (const button of this.root.querySelectorAll("[data-action]")) {
        button.addEventListener("click", actions[button.dataset.action]);
      }
    }

    #key(event) {
      const modes = Object.keys(MATERIALS);
      const keys = {
        ArrowLeft: () => this.controls.rotateLeft(KEY_TURN), ArrowRight: () => this.controls.rotateLeft(-KEY_TURN),
        ArrowUp: () => this.controls.rotateUp(KEY_TURN), ArrowDown: () => this.controls.rotateUp(-KEY_TURN),
        "+": () => this.controls.dollyIn(KEY_ZOOM), "-": () => this.controls.dollyOut(KEY_ZOOM),
        "=": () => this.controls.dollyIn(KEY_ZOOM),
        " ": () => this.turn(!this.controls.autoRotate), Home: () => this.reset(),
      };
      const action = keys[event.key] ?? (modes[event.key - 1] && (() => this.choose(modes[event.key - 1])));
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (event.key.startsWith("Arrow")) this.turn(false);
      action();
      this.draw();
    }

    #resize() {
      const { clientWidth: width, clientHeight: height } = this.stage;
      if (!width || !height) return;
      this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
      this.renderer.setSize(width, height, false);
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
      this.draw();
    }

    /** The box around the object, and the sphere around the box's centre that holds the object. */
    #measure() {
      this.object.updateMatrixWorld(true);
      this.box = new three.Box3().setFromObject(this.object);
      this.sphere = new three.Sphere(this.box.getCenter(new three.Vector3()), 0);
      for (const { mesh } of this.meshes) {
        mesh.geometry.computeBoundingSphere(); // the loader's own is around the box, which is up to 1.7 times as wide
        const around = mesh.geometry.boundingSphere.clone().applyMatrix4(mesh.matrixWorld);
        const reach = this.sphere.center.distanceTo(around.center) + around.radius;
        this.sphere.radius = Math.max(this.sphere.radius, reach);
      }
    }

    #placeFloor() {
      const size = this.box.getSize(new three.Vector3());
      const cell = cellSize(Math.max(size.x, size.y, size.z));
      const cells = Math.ceil(2.2 * this.sphere.radius / cell);
      this.floor = new three.LineSegments(floorLines(cells), new three.LineBasicMaterial({
        vertexColors: true, transparent: true, depthWrite: false,
      }));
      this.#colourFloor();
      this.floor.scale.setScalar(cell);
      this.floor.position.set(this.sphere.center.x, this.box.min.y - 0.002 * size.y, this.sphere.center.z);
      this.scene.add(this.floor);
      this.root.querySelector(".cell").textContent = `one square is ${lengthInWords(cell)}`;
    }

    #colourFloor() {
      this.floor.material.color.set(themeColour("--wire"));
      this.floor.material.opacity = Number(themeColour("--wire-opacity"));
    }

    #remove() {
      if (!this.object) return;
      for (const { mesh, own, wires } of this.meshes) {
        for (const material of new Set([mesh.material, own, wires.material])) {
          for (const value of Object.values(material)) if (value?.isTexture) value.dispose();
          material.dispose();
        }
        mesh.geometry.dispose();
      }
      this.scene.remove(this.object);
      this.meshes = [];
      if (!this.floor) return;
      this.floor.geometry.dispose();
      this.floor.material.dispose();
      this.scene.remove(this.floor);
    }
  }

  /** The bytes of the page's model: written into the page, or to be had from the server that it came from. */
  async function bytesOf(model) {
    if (model.base64) return Uint8Array.from(atob(model.base64), (letter) => letter.charCodeAt(0));
    const response = await fetch(model.address, { cache: "no-store" });
    if (!response.ok) throw new Error(`${model.address}: ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  function say(root, sentence) {
    root.classList.remove("ready");
    root.querySelector(".notice").textContent = sentence;
  }

  const root = document.querySelector(".viewer");
  if (!root) return null;
  let viewer = null;
  say(root, "The object is being loaded.");
  try {
    viewer = new ModelViewer(root);
  } catch (error) {
    console.info(String(error));
    say(root, "This browser offers no WebGL, which turning the object needs. Switch on hardware acceleration in its "
      + "settings, use another browser, or open the GLB file in a program for 3D models.");
    return null;
  }
  const load = async (model) => {
    try {
      await viewer.show(await bytesOf(model));
    } catch (error) {
      say(root, `The model could not be shown: ${error.message}.`);
    }
  };
  const { model } = JSON.parse(document.getElementById("page-data").textContent);
  if (model) load(model);
  return { load, viewer };
})();
