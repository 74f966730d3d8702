for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") !== "ascending";
    const key = row => row.cells[head.cellIndex].dataset.v ?? row.cells[head.cellIndex].textContent;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map(row => [key(row), row]);
    rows.sort(([a], [b]) => (a === "") - (b === "") ||
      (up ? 1 : -1) * (a - b || String(a).localeCompare(String(b), undefined, { numeric: true })));
    body.append(...rows.map(([, row]) => row));
  });
}
