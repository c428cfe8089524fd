for (const table of document.querySelectorAll("table.sortable"))
  new DataTable(table, { paging: false, autoWidth: false, order: [], info: table.tBodies[0].rows.length > 9,
    searching: table.tBodies[0].rows.length > 9, language: { search: "Filter", info: "_TOTAL_ rows", infoEmpty: "no row matches",
      infoFiltered: "of _MAX_", zeroRecords: "no row matches" } });
