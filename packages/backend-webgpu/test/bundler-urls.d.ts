/** The type that Vite gives to an import that ends with `?url`. */
declare module '*?url' {
  const address: string;
  export default address;
}
